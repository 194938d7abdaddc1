"""The results of local_bench.py as a table and a picture."""
WIDTH, HEIGHT, LEFT, TOP, BAR = 640, 300, 60, 40, 44


def ratios(row):
    ours, theirs = row["infermesh"], row["llama-server"]
    return [ours["tokens_s"] / theirs["tokens_s"], ours["p50_s"] / theirs["p50_s"], ours["p99_s"] / theirs["p99_s"]]


def text(report):
    lines = []
    for m in report["models"]:
        lines += ["", f"**{m['model']}**, {m['threads']} thread{'s' if m['threads'] > 1 else ''}", "",
                  "| at once | tokens/s | of llama-server | first token p50 | of llama-server | p99 | of llama-server |", "|---|---|---|---|---|---|---|"]
        for row in m["rows"]:
            rate, p50, p99 = ratios(row)
            ours = row["infermesh"]
            lines.append(f"| {row['at_once']} | {ours['tokens_s']:.0f} | {rate:.2f} | {1000 * ours['p50_s']:.0f} ms | {p50:.2f} | "
                         f"{1000 * ours['p99_s']:.0f} ms | {p99:.2f} |")
        gain = m["gain"]
        lines += ["", f"8 at once over one: {gain['infermesh']:.2f} times the tokens, through the mesh; llama-batched-bench gains "
                      f"{gain['llama-batched-bench']:.2f} times: {gain['infermesh'] / gain['llama-batched-bench']:.2f} of that."]
        for name, turn in m.get("second_turn", {}).items():
            lines.append(f"A conversation of {turn['prompt_tokens']:,} tokens with {name}: first token of the second turn after "
                         f"{1000 * turn['second_s']:.0f} ms, of the first after {1000 * turn['first_s']:.0f} ms: {turn['second_s'] / turn['first_s']:.2f} of it.")
    return "\n".join(lines).strip()


def svg(report):
    """Tokens a second as a share of llama-server's."""
    bars = [(m["model"], row["at_once"], ratios(row)[0]) for m in report["models"] for row in m["rows"]]
    top = max(1.2, max(b[2] for b in bars) * 1.1)
    scale = (HEIGHT - TOP - 60) / top
    base = HEIGHT - 60
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           f'<text x="{LEFT}" y="22" font-size="14">Tokens a second through the mesh, as a share of llama-server\'s</text>']
    step = (WIDTH - LEFT - 20) / len(bars)
    for i, (model, at_once, share) in enumerate(bars):
        x = LEFT + i * step + (step - BAR) / 2
        colour = "#4878a8" if model.startswith("demo") else "#c07840"
        out += [f'<rect x="{x:.0f}" y="{base - share * scale:.0f}" width="{BAR}" height="{share * scale:.0f}" fill="{colour}"/>',
                f'<text x="{x + BAR / 2:.0f}" y="{base - share * scale - 5:.0f}" text-anchor="middle">{share:.2f}</text>',
                f'<text x="{x + BAR / 2:.0f}" y="{base + 16}" text-anchor="middle">{at_once}</text>']
    y = base - scale
    out += [f'<line x1="{LEFT}" y1="{y:.0f}" x2="{WIDTH - 20}" y2="{y:.0f}" stroke="#333" stroke-dasharray="4 3"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">1.0</text>',
            f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - 20}" y2="{base}" stroke="#333"/>']
    for i, m in enumerate(report["models"]):
        count = len(bars) / len(report["models"])
        out.append(f'<text x="{LEFT + (i + 0.5) * count * step:.0f}" y="{base + 38}" text-anchor="middle">{m["model"]} parameters: streams at once</text>')
    return "\n".join(out + ["</svg>", ""])


def write_docs(report, docs):
    load = ", ".join(f"{v:.1f}" for v in report["load_before"])
    head = ("# The local backend beside llama-server\n\n"
            "Written by `./dev bench local --docs` (tests/bench/local_bench.py): the same llama.cpp, model and threads, interleaved in one run, the whole mesh with its audit "
            "log in between. What counts are the ratios.\n\n"
            f"{report['machine']}; load of the machine {load} when it was begun; medians of {report['rounds']} rounds of {report['requests']} requests "
            f"or more, {report['tokens']} tokens each at most.\n\n![tokens a second](img/local-bench.svg)\n\n")
    (docs / "local-bench.md").write_text(head + text(report) + "\n")
    (docs / "img/local-bench.svg").write_text(svg(report))
