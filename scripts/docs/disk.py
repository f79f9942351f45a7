#!/usr/bin/env python3
"""disk.py PLAN: draws the disks of a conversion to scale, as SVG, from what `goldsmith plan --json` prints.

docs/disk.svg is drawn from disk.json: what the plan of docs/first-update.md says of partitions.
"""

import html
import json
import sys

LEFT, WIDTH, HIGH = 20, 920, 64
GOLDEN, DEVICE, ARTIFACT = 50, 200, 350
# For light and dark pages.
STYLE = "text{fill:#222}.bar{fill:#f4f4f4}@media(prefers-color-scheme:dark){text{fill:#ddd}.bar{fill:#2a2a2a}.on{fill:#222}}"
COLOURS = {"boot": "#7aa6c2", "root": "#e0b04c", "data": "#9bbf85", "dropped": "#cccccc"}


def size(number):
    for unit, bytes_of in [("GiB", 1 << 30), ("MiB", 1 << 20)]:
        if number >= bytes_of:
            return f"{number / bytes_of:.1f}".removesuffix(".0") + f" {unit}"
    return f"{number} B"


class Picture:
    def __init__(self, longest):
        self.scale = WIDTH / longest
        self.parts = []

    def at(self, offset):
        return LEFT + offset * self.scale

    def text(self, x, y, words, anchor="start", weight="normal", on=False):
        """Words; dark on every page if they are on a solid colour."""
        kind = 'class="on" ' if on else ""
        self.parts.append(
            f'<text {kind}x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{html.escape(words)}</text>'
        )

    def bar(self, y, whole):
        self.parts.append(
            f'<rect class="bar" x="{LEFT}" y="{y}" width="{whole * self.scale:.1f}" height="{HIGH}" stroke="#777"/>'
        )

    def partition(self, y, start, length, used, colour, name):
        """A partition; what its filesystem takes is solid."""
        x, width = self.at(start), length * self.scale
        self.parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{HIGH}" fill="{colour}" fill-opacity=".35" stroke="#777"/>')
        if used:
            self.parts.append(f'<rect x="{x:.1f}" y="{y}" width="{used * self.scale:.1f}" height="{HIGH}" fill="{colour}"/>')
        if width > 90:
            # On what is solid, if that is wide enough.
            on = used * self.scale > 80
            middle = x + (used * self.scale if on else width) / 2
            self.text(middle, y + 28, name, "middle", "bold", on)
            self.text(middle, y + 48, size(length), "middle", on=on)
        else:
            self.text(x + width / 2, y + HIGH + 18, name, "middle")

    def ribbon(self, top, start, bottom, start_below, length, colour):
        """The same bytes, above and below."""
        corners = [(start, top), (start + length, top), (start_below + length, bottom), (start_below, bottom)]
        points = " ".join(f"{self.at(offset):.1f},{y}" for offset, y in corners)
        self.parts.append(f'<polygon points="{points}" fill="{colour}" fill-opacity=".25"/>')

    def svg(self, height):
        style = "font-family: system-ui, sans-serif; font-size: 14px"
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 2 * LEFT} {height}" style="{style}">\n'
            f"<style>{STYLE}</style>\n{body}\n</svg>\n"
        )


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    golden, disk = plan["input"], plan["disk"]
    files = plan["root"]["size"]
    picture = Picture(max(golden["size"], disk["size"]))
    old = {part["fate"]: part for part in golden["partitions"]}["root"]
    slots = [part for part in disk["partitions"] if part["role"].startswith("root")]

    for part in slots:
        picture.ribbon(GOLDEN + HIGH, old["start"], DEVICE, part["start"], old["used"], COLOURS["root"])
    # An Artifact goes into the slot that is not running.
    picture.ribbon(DEVICE + HIGH, slots[1]["start"], ARTIFACT, slots[1]["start"], files, COLOURS["root"])

    picture.text(LEFT, GOLDEN - 12, f"Golden image: {size(golden['size'])}, {golden['system']}", weight="bold")
    picture.bar(GOLDEN, golden["size"])
    for part in golden["partitions"]:
        colour = COLOURS.get(part["fate"], COLOURS["dropped"])
        name = part["fate"] if part["size"] * picture.scale > 90 else ""
        picture.partition(GOLDEN, part["start"], part["size"], part.get("used", 0), colour, name)

    picture.text(LEFT, DEVICE - 12, f"Device: {size(disk['size'])}", weight="bold")
    picture.bar(DEVICE, disk["size"])
    for part in disk["partitions"]:
        kind = part["role"].split("-")[0]
        used = files if kind == "root" else 0
        picture.partition(DEVICE, part["start"], part["size"], used, COLOURS[kind], part["role"].replace("-a", " A").replace("-b", " B"))

    picture.partition(ARTIFACT, slots[1]["start"], files, files, COLOURS["root"], "Artifact")
    picture.text(LEFT, ARTIFACT + 28, "An update replaces the root filesystem that is not running;")
    picture.text(LEFT, ARTIFACT + 48, "the device starts it once, and goes back unless it is committed.")
    sys.stdout.write(picture.svg(ARTIFACT + HIGH + 20))


main()
