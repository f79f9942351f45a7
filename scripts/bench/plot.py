"""Draws the plot of the page: cost against used bytes as lines, cost against the size of the card as bars."""

from xml.sax.saxutils import escape

COLOURS = ["#1b6ca8", "#d1495b", "#3a7d44", "#7b4fa3"]
WIDTH, HEIGHT = 960, 400
TOP, BOTTOM, LEFT, MIDDLE, RIGHT = 50, 340, 60, 520, 690
BAR_END = 930


def text(x, y, words, anchor="start", size=13, colour="#222"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#ccc", width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def step(most):
    """A round distance between grid lines, so that there are four to ten of them."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if most / (size * factor) <= 8:
                return size * factor
        size *= 10


def fit(points):
    """The straight line through the points: slope and value at 0."""
    n = len(points)
    mx, my = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mx) ** 2 for x, _ in points)
    slope = sum((x - mx) * (y - my) for x, y in points) / spread if spread else 0
    return slope, my - slope * mx


def plot(lines, bars):
    """`lines` maps a name to its points (GiB, seconds), `bars` are names, seconds and the line that they belong to."""
    most_x = max((x for points in lines.values() for x, _ in points), default=1)
    most_y = max((y for points in lines.values() for _, y in points), default=1) * 1.05
    at_x = lambda x: LEFT + (MIDDLE - LEFT) * x / most_x
    at_y = lambda y: BOTTOM - (BOTTOM - TOP) * y / most_y
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">']
    out.append(f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>')
    out.append(text(LEFT, 24, "Seconds against GiB of files (dashed: straight line)", size=14))
    value, by = 0, step(most_y)
    while value <= most_y:
        out += [line(LEFT, at_y(value), MIDDLE, at_y(value)), text(LEFT - 8, at_y(value) + 4, f"{value:g}", "end")]
        value += by
    for x in sorted({x for points in lines.values() for x, _ in points}):
        out += [line(at_x(x), BOTTOM, at_x(x), BOTTOM + 5, "#222"), text(at_x(x), BOTTOM + 20, f"{x:.3g}", "middle")]
    out += [line(LEFT, BOTTOM, MIDDLE, BOTTOM, "#222"), line(LEFT, TOP, LEFT, BOTTOM, "#222")]
    for index, (colour, (name, points)) in enumerate(zip(COLOURS, lines.items())):
        slope, base = fit(points)
        dashes = line(at_x(0), at_y(base), at_x(most_x), at_y(base + slope * most_x), colour)
        out.append(dashes.replace("/>", ' stroke-dasharray="4 4"/>'))
        path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in sorted(points))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="4" fill="{colour}"/>' for x, y in points]
        out.append(text(LEFT + 12, TOP + 16 + 18 * index, f"{name}: {base:.1f} s + {slope:.1f} s per GiB", colour=colour))
    out.append(text(RIGHT - 110, 24, "Seconds, same files on two cards", size=14))
    longest = max((y for _, y, _ in bars), default=1)
    names = list(lines)
    for index, (name, value, line_name) in enumerate(bars):
        y = TOP + 10 + 44 * index
        width = (BAR_END - 50 - RIGHT) * value / longest
        colour = COLOURS[names.index(line_name)]
        out.append(text(RIGHT - 8, y + 16, name, "end"))
        out.append(f'<rect x="{RIGHT}" y="{y}" width="{width:.1f}" height="24" fill="{colour}"/>')
        out.append(text(RIGHT + width + 6, y + 16, f"{value:.1f}"))
    return "\n".join([*out, "</svg>", ""])
