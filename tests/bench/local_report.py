"""The results of local_bench.py as a table and a picture."""
import chart


def ratios(row):
    ours, theirs = row["infermesh"], row["llama-server"]
    return [row["rate"], ours["p50_s"] / theirs["p50_s"], ours["p99_s"] / theirs["p99_s"]]


def text(report):
    lines = []
    for m in report["models"]:
        rows = []
        for row in m["rows"]:
            rate, p50, p99 = ratios(row)
            ours = row["infermesh"]
            rows.append([str(row["at_once"]), f"{ours['tokens_s']:.0f}", f"{rate:.2f}", f"{1000 * ours['p50_s']:.0f} ms", f"{p50:.2f}",
                         f"{1000 * ours['p99_s']:.0f} ms", f"{p99:.2f}"])
        lines += ["", f"**{m['model']}**, {m['threads']} thread{'s' if m['threads'] > 1 else ''}", "", *chart.table(
            ["at once", "tokens/s", "of llama-server", "first token p50", "of llama-server", "p99", "of llama-server"], rows)]
        gain = m["gain"]
        lines += ["", f"8 at once over one: {gain['infermesh']:.2f} times the tokens, through the mesh; llama-batched-bench gains "
                      f"{gain['llama-batched-bench']:.2f} times: {gain['infermesh'] / gain['llama-batched-bench']:.2f} of that."]
        for name, turn in m.get("second_turn", {}).items():
            lines.append(f"A conversation of {turn['prompt_tokens']:,} tokens with {name}: first token of the second turn after "
                         f"{1000 * turn['second_s']:.0f} ms, of the first after {1000 * turn['first_s']:.0f} ms: {turn['second_s'] / turn['first_s']:.2f} of it.")
    return "\n".join(lines).strip()


def svg(report):
    """Tokens a second as a share of llama-server's."""
    colours = ["#4878a8", "#c07840"]
    return chart.bars("Tokens a second through the mesh, as a share of llama-server's", [
        (f"{m['model']} parameters: streams at once", [(str(row["at_once"]), ratios(row)[0], colours[i % 2]) for row in m["rows"]])
        for i, m in enumerate(report["models"])])


def write_docs(report, docs):
    load = ", ".join(f"{v:.1f}" for v in report["load_before"])
    head = ("# The local backend beside llama-server\n\n"
            "Written by `./dev bench local --docs` (tests/bench/local_bench.py): the same llama.cpp, model and threads, interleaved in one run, the whole mesh with its audit "
            "log in between. What counts are the ratios. Both get the same questions, one directly after the other; those of tokens are medians of the rounds' own.\n\n"
            f"{report['machine']}; load of the machine {load} when it was begun; medians of {report['rounds']} rounds of {report['requests']} requests "
            f"or more, {report['tokens']} tokens each at most.\n\n![tokens a second](img/local-bench.svg)\n\n")
    (docs / "local-bench.md").write_text(head + text(report) + "\n")
    (docs / "img/local-bench.svg").write_text(svg(report))
