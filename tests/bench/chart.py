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


def table(head, rows):
    """Markdown; every cell is text."""
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]
