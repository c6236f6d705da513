"""Draws what bench/compare found: for each workload a group of bars, lmbroker's in full, the others' in outline, as SVG."""

import pathlib
from html import escape

WIDTH, LEFT, RIGHT, TOP, ROW, GAP, HEAD = 840, 150, 190, 30, 22, 18, 24
INK, FAINT, OWN, OTHER = "#222222", "#767676", "#0b62a8", "#b9c4cc"


def figure(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def draw(path, table, own):
    """`table` is what bench/compare's summarise returns. Within a workload the longest bar is the greatest value."""
    lines, y = [], TOP

    def text(x, place, words, color=INK, anchor="start", size=12, weight="normal"):
        lines.append(f'<text x="{x:.1f}" y="{place:.1f}" fill="{color}" text-anchor="{anchor}" font-size="{size}" '
                     f'font-weight="{weight}">{escape(words)}</text>')

    for work, systems in table:
        text(LEFT, y, f"{work.title}, {work.unit}", weight="bold")
        text(WIDTH - 16, y, "more is better" if work.more_is_better else "less is better", FAINT, "end", 11)
        y += HEAD - 14
        greatest = max(values["high"] for values, _ in systems.values())
        scale = (WIDTH - LEFT - RIGHT) / greatest
        for name, (values, ratios) in systems.items():
            color = OWN if name == own else OTHER
            text(LEFT - 10, y + 15, name, anchor="end", weight="bold" if name == own else "normal")
            lines.append(f'<rect x="{LEFT}" y="{y + 3}" width="{max(values["median"] * scale, 1):.1f}" height="{ROW - 6}" fill="{color}"/>')
            # From the lowest to the highest round.
            lines.append(f'<line x1="{LEFT + values["low"] * scale:.1f}" x2="{LEFT + values["high"] * scale:.1f}" y1="{y + ROW / 2}" '
                         f'y2="{y + ROW / 2}" stroke="{INK}" stroke-width="1"/>')
            beside = "" if name == own else f"   {ratios['median']:.2f}×"
            text(LEFT + values["high"] * scale + 8, y + 15, figure(values["median"]) + beside)
            y += ROW
        y += GAP
    pathlib.Path(path).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" '
        'font-family="Helvetica, Arial, sans-serif">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>\n' + "\n".join(lines) + "\n</svg>\n")
