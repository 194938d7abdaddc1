"""Bars in groups as an SVG picture, with a line at 1: for figures that are shares of somebody else's."""
from xml.sax.saxutils import escape

HEIGHT, LEFT, TOP, FOOT = 300, 60, 40, 60


def bars(title, groups, width=640, legend=()):
    """groups: [(label, [(label, share, colour)])]; legend: [(name, colour)]."""
    count = sum(len(group) for _, group in groups)
    step = (width - LEFT - 20) / count
    bar = min(44, step * 0.8)
    top = max(1.2, max(b[1] for _, group in groups for b in group) * 1.1)
    base = HEIGHT - FOOT
    scale = (base - TOP - 18 * bool(legend)) / top
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif" font-size="{12 if step > 30 else 9}">',
           f'<rect width="{width}" height="{HEIGHT}" fill="#fff"/>',
           f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>']
    for i, (name, colour) in enumerate(legend):
        x = LEFT + i * 170
        out += [f'<rect x="{x}" y="30" width="10" height="10" fill="{colour}"/>', f'<text x="{x + 14}" y="39">{escape(name)}</text>']
    i = 0
    for label, group in groups:
        middle = LEFT + (i + len(group) / 2) * step
        for name, share, colour in group:
            x = LEFT + i * step + (step - bar) / 2
            out += [f'<rect x="{x:.0f}" y="{base - share * scale:.0f}" width="{bar:.0f}" height="{share * scale:.0f}" fill="{colour}"/>',
                    f'<text x="{x + bar / 2:.0f}" y="{base - share * scale - 5:.0f}" text-anchor="middle">{share:.2f}</text>',
                    f'<text x="{x + bar / 2:.0f}" y="{base + 16}" text-anchor="middle">{escape(name)}</text>']
            i += 1
        out.append(f'<text x="{middle:.0f}" y="{base + 38}" text-anchor="middle">{escape(label)}</text>')
    y = base - scale
    out += [f'<line x1="{LEFT}" y1="{y:.0f}" x2="{width - 20}" y2="{y:.0f}" stroke="#333" stroke-dasharray="4 3"/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">1.0</text>',
            f'<line x1="{LEFT}" y1="{base}" x2="{width - 20}" y2="{base}" stroke="#333"/>']
    return "\n".join(out + ["</svg>", ""])


SPAN = {"works": ("#4878a8", "works"), "disk": ("#c07840", "waits for the disk")}


def waterfall(title, panels, width=1100):
    """panels: {name: {"us": length, "rows": [(label, [[from, to, "works" or "disk"]])]}}, one below the other on one scale of µs."""
    left, line = 150, 22
    scale = (width - left - 30) / max(p["us"] for p in panels.values())
    out, y = [f'<text x="20" y="22" font-size="14">{escape(title)}</text>'], 34
    for i, (colour, what) in enumerate(SPAN.values()):
        out += [f'<rect x="{left + i * 90}" y="{y}" width="10" height="10" fill="{colour}"/>', f'<text x="{left + 14 + i * 90}" y="{y + 9}">{what}</text>']
    for name, panel in panels.items():
        y += 40
        out.append(f'<text x="20" y="{y}" font-weight="bold">{escape(name)}: {panel["us"]:.0f} µs</text>')
        for label, spans in panel["rows"]:
            y += line
            out += [f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{escape(label)}</text>',
                    f'<line x1="{left}" y1="{y}" x2="{left + panel["us"] * scale:.1f}" y2="{y}" stroke="#ddd"/>']
            for begin, end, what in spans:
                wide = (end - begin) * scale
                out.append(f'<rect x="{left + begin * scale:.1f}" y="{y - 8}" width="{max(wide, 1):.1f}" height="16" fill="{SPAN[what][0]}"/>')
                if wide > 20:
                    out.append(f'<text x="{left + (begin + end) / 2 * scale:.1f}" y="{y + 4}" text-anchor="middle" fill="#fff">{end - begin:.0f}</text>')
        y += line
        for at in range(0, int(panel["us"]) + 1, 50):
            x = left + at * scale
            out += [f'<line x1="{x:.1f}" y1="{y - 8}" x2="{x:.1f}" y2="{y - 3}" stroke="#333"/>', f'<text x="{x:.1f}" y="{y + 8}" text-anchor="middle">{at}</text>']
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 24}" font-family="sans-serif" font-size="11">'
    return "\n".join([head, f'<rect width="{width}" height="{y + 24}" fill="#fff"/>', *out, "</svg>", ""])


def table(head, rows):
    """Markdown; every cell is text."""
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]
