#!/usr/bin/env python3
"""Draws the mixed soak: throughput, disk, free pages and memory over time, one above the other, as SVG.

Usage: bench/soak_curve.py SAMPLES.jsonl OUT.svg

The samples are what Tests/Crash/test_mixed_soak.py writes (.build/soak.jsonl). Needs nothing but Python.
"""

import json
import math
import pathlib
import sys
from html import escape

WIDTH, LEFT, RIGHT = 960, 64, 24
TOP, PANEL, GAP, BOTTOM = 74, 132, 52, 54
PAGE = 4096
INK, FAINT, GRID = "#222222", "#767676", "#e4e4e4"
BLUE, ORANGE, GREEN, PURPLE = "#0b62a8", "#c8560d", "#28783c", "#6d4c9f"
JUDGED, COPYING = "#f0f0ea", "#f7dcc4"


class Drawing:
    """Lines of SVG, and the scale from seconds to pixels that all panels share."""

    def __init__(self, seconds, height):
        self.seconds, self.height, self.lines = seconds, height, []

    def x(self, at):
        return LEFT + (WIDTH - LEFT - RIGHT) * at / self.seconds

    def add(self, line):
        self.lines.append(line)

    def text(self, x, y, text, color=INK, anchor="start", size=12, weight="normal"):
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}" font-size="{size}" '
                 f'font-weight="{weight}">{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, color, width=1.0):
        self.add(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width}"/>')

    def box(self, begin, end, y, height, color):
        self.add(f'<rect x="{self.x(begin):.1f}" y="{y:.1f}" width="{max(self.x(end) - self.x(begin), 1):.1f}" '
                 f'height="{height:.1f}" fill="{color}"/>')

    def write(self, path):
        pathlib.Path(path).write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" height="{self.height}" '
            'font-family="Helvetica, Arial, sans-serif">\n'
            f'<rect width="{WIDTH}" height="{self.height}" fill="#ffffff"/>\n' + "\n".join(self.lines) + "\n</svg>\n")


def step(greatest, about):
    """A round distance between `about` grid lines up to the greatest value."""
    rough = max(greatest, 1e-9) / about
    power = 10 ** math.floor(math.log10(rough))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= rough * 0.999)


class Panel:
    """One diagram with its own vertical scale, from zero to above the greatest of its values."""

    def __init__(self, drawing, number, title, greatest):
        self.drawing, self.bottom = drawing, TOP + number * (PANEL + GAP) + PANEL
        self.distance = step(greatest, 4)
        self.top_value = self.distance * math.ceil(greatest / self.distance * 1.02)
        self.title, self.legend_x = title, WIDTH - RIGHT

    def y(self, value):
        return self.bottom - PANEL * value / self.top_value

    def ground(self, bands, x_step, is_last):
        d = self.drawing
        for begin, end, color in bands:
            d.box(begin, end, self.bottom - PANEL, PANEL, color)
        for number in range(round(self.top_value / self.distance) + 1):
            value = number * self.distance
            d.line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value), FAINT if number == 0 else GRID)
            d.text(LEFT - 8, self.y(value) + 4, f"{value:g}", FAINT, "end", 11)
        for number in range(int(d.seconds / x_step + 1e-6) + 1):
            x = d.x(number * x_step)
            d.line(x, self.bottom, x, self.bottom + 4, FAINT)
            d.text(x, self.bottom + 17, f"{number * x_step / 60:g}" + (" min" if is_last and number == 0 else ""), FAINT, "middle", 11)
        d.text(LEFT, self.bottom - PANEL - 12, self.title, weight="bold", size=13)

    def legend(self, name, mark):
        """From the right to the left; `mark` draws at the place that it is given."""
        y = self.bottom - PANEL - 12
        # How wide the text is depends on the reader's font; this is enough for a wide one.
        self.legend_x -= 7.2 * len(name)
        self.drawing.text(self.legend_x, y, name)
        self.legend_x -= 26
        mark(self.legend_x, y - 4)
        self.legend_x -= 16

    def curve(self, points, name, color, dashes=None):
        style = f'stroke="{color}" stroke-width="1.8" fill="none"' + (f' stroke-dasharray="{dashes}"' if dashes else "")
        path = " ".join(f"{self.drawing.x(at):.1f},{self.y(value):.1f}" for at, value in points)
        self.drawing.add(f'<polyline points="{path}" stroke-linejoin="round" {style}/>')
        self.legend(name, lambda x, y: self.drawing.add(f'<polyline points="{x:.1f},{y:.1f} {x + 20:.1f},{y:.1f}" {style}/>'))

    def dots(self, points, name, color, is_filled):
        style = f'r="3.2" stroke="{color}" stroke-width="1.3" fill="{color if is_filled else "#ffffff"}"'
        for at, value in points:
            self.drawing.add(f'<circle cx="{self.drawing.x(at):.1f}" cy="{self.y(value):.1f}" {style}/>')
        self.legend(name, lambda x, y: self.drawing.add(f'<circle cx="{x + 14:.1f}" cy="{y:.1f}" {style}/>'))


def greatest_so_far(copies, at):
    return max((c["pinned"] for c in copies if c["copied"] <= at), default=0)


def draw(lines, path):
    of = {kind: [line for line in lines if line["kind"] == kind] for kind in ("settings", "sample", "burst", "copy")}
    settings, samples, bursts, copies = of["settings"][0], of["sample"], of["burst"], of["copy"]
    seconds, warm_up = settings["seconds"], settings.get("warm_up", 0)
    sixth = (seconds - warm_up) / 6
    drawing = Drawing(seconds, TOP + 4 * PANEL + 3 * GAP + BOTTOM)
    bands = [(warm_up + sixth, warm_up + 2 * sixth, JUDGED), (seconds - sixth, seconds, JUDGED)]
    bands += [(c["at"], min(c["verified"], seconds), COPYING) for c in copies]
    x_step = 60 * step(seconds / 60, 12)
    series = lambda value: [(s["at"], value(s)) for s in samples]  # noqa: E731

    drawing.text(LEFT, 24, f"Mixed soak: {settings['topics']} topics, {settings['rate_mb_s']:g} MB/s and bursts, "
                 f"{seconds / 60:g} minutes", size=16, weight="bold")
    drawing.text(LEFT, 42, "Grey: the second and the last sixth, which are compared. Orange: a hot copy is made and verified.",
                 FAINT)

    panel = Panel(drawing, 0, "Acknowledged, MB/s", max([b["mb_s"] for b in bursts] + [s["mb_s"] for s in samples]))
    panel.ground(bands, x_step, False)
    panel.curve(series(lambda s: s["mb_s"]), "steady", BLUE)
    panel.dots([(b["at"], b["mb_s"]) for b in bursts if not b["undisturbed"]], "burst beside a copy or others", ORANGE, False)
    panel.dots([(b["at"], b["mb_s"]) for b in bursts if b["undisturbed"]], "burst", ORANGE, True)

    allowed = series(lambda s: (1.4 * s["live"] + greatest_so_far(copies, s["at"])) / 1e9)
    panel = Panel(drawing, 1, "On disk, GB", max([v for _, v in allowed] + [s["file"] / 1e9 for s in samples]))
    panel.ground(bands, x_step, False)
    panel.curve(allowed, "1.4 × live + most that a copy pinned", FAINT, "5 4")
    panel.curve(series(lambda s: s["live"] / 1e9), "live batches", GREEN)
    panel.curve(series(lambda s: s["file"] / 1e9), "data.mdb", BLUE)

    free = series(lambda s: s["free_pages"] * PAGE / 1e6)
    panel = Panel(drawing, 2, "Free pages in the file, MB", max([v for _, v in free] + [c["pinned"] / 1e6 for c in copies] + [1]))
    panel.ground(bands, x_step, False)
    panel.dots([(min(c["copied"], seconds), c["pinned"] / 1e6) for c in copies], "pinned by a copy, at its end", ORANGE, True)
    panel.curve(free, "free", PURPLE)

    panel = Panel(drawing, 3, "Anonymous memory of the broker, MB", max(s["memory"] / 1e6 for s in samples))
    panel.ground(bands, x_step, True)
    panel.curve(series(lambda s: s["memory"] / 1e6), "memory", GREEN)
    drawing.write(path)


def main():
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    draw([json.loads(line) for line in open(sys.argv[1])], sys.argv[2])


if __name__ == "__main__":
    main()
