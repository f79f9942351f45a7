#!/usr/bin/env python3
"""page.py RESULTS PAGE: writes the measurements of bench.py between the markers in PAGE, and draws the plot next to it."""

import json
import sys
from pathlib import Path

from bench_text import put, seconds, table
from plot import plot

RESULTS, PAGE = Path(sys.argv[1]), Path(sys.argv[2])
DATA = json.loads(RESULTS.read_text())
MIB, GIB = 1 << 20, 1 << 30
FORMS = {
    "none": "raw image, Artifact not compressed",
    "gz": "gz image, gzip Artifact",
    "zst": "zst image, zstd Artifact",
    "xz": "xz image, xz Artifact",
}


ALONE, VERIFIED = "our compressor alone", "our compressor alone, frames verified"


def best(group, **wanted):
    """Of several rounds the quickest, by what tells the rows apart."""
    found = {}
    for row in DATA["results"]:
        if row["group"] == group and all(row[key] == value for key, value in wanted.items()):
            key = (row["card"], row["form"], row["name"])
            if key not in found or row["wall"] < found[key]["wall"]:
                found[key] = row
    return found


def mib(value):
    return f"{value / MIB:.0f}"


def costs(row):
    return [seconds(row["wall"]), seconds(row["cpu"]), mib(row["memory"]), mib(row["extra_disk"]), mib(row["written"])]


COSTS = ["wall s", "CPU s", "memory MiB", "extra disk MiB", "written MiB"]


def titles():
    """The cards that were compared, in words."""
    cards = dict.fromkeys(card for card, _, _ in best("goldsmith"))
    used = {row["card"]: row["used"] for row in DATA["results"]}
    return {card: f"{'golden image' if card == 'image' else 'larger card'}, {used[card] / GIB:.2f} GiB used" for card in cards}


def ratios():
    rows = []
    for (card, form, _), ours in best("goldsmith").items():
        hand = next(iter(best("hand", card=card, form=form).values()))
        row = [titles()[card], FORMS[form], f"{ours['wall'] / hand['wall']:.2f} (CPU {ours['cpu'] / hand['cpu']:.2f})"]
        floors = [
            f"{ours['wall'] / floor['wall']:.2f} (CPU {ours['cpu'] / floor['cpu']:.2f}) x `{name}`"
            for (_, _, name), floor in best("floor", card=card, form=form).items()
            if name != VERIFIED
        ]
        rows.append([*row, ", ".join(floors), mib(ours["memory"]), mib(ours["extra_disk"])])
    head = ["input", "results", "time, relative to by hand", "time, relative to lower bound", "memory MiB", "extra disk MiB"]
    return table(head, rows)


def shares():
    """What of the CPU time is the codec's, and what is ours."""
    rows = []
    for (card, form, _), ours in best("goldsmith").items():
        floors = {name: row["cpu"] for (_, _, name), row in best("floor", card=card, form=form).items()}
        if not {ALONE, VERIFIED} <= floors.keys():
            continue
        compress, verify = floors[ALONE], floors[VERIFIED] - floors[ALONE]
        parts = [compress, verify, ours["cpu"] - compress - verify]
        rival = min((cpu, name) for name, cpu in floors.items() if name not in (ALONE, VERIFIED))
        row = [f"{seconds(part)} ({100 * part / ours['cpu']:.0f} %)" for part in parts]
        rows.append([titles()[card], form, seconds(ours["cpu"]), *row, f"{seconds(rival[0])} (`{rival[1]}`)"])
    return table(["input", "form", "CPU s", "compressing", "verifying frames", "all else", "the cheapest other compressor alone"], rows)


def details():
    rows = []
    for (card, form, _) in best("goldsmith"):
        for group in ("goldsmith", "hand", "floor"):
            for (_, _, name), row in best(group, card=card, form=form).items():
                rows.append([titles()[card], form, name, *costs(row)])
    return table(["input", "form", "what", *COSTS], rows)


def series():
    rows = [(row["used"] / GIB, form, row) for (_, form, _), row in best("series").items()]
    cards = best("cards")
    lines = {}
    for used, form, row in rows:
        lines.setdefault(FORMS[form], []).append((used, row["wall"]))
    bars = [(f"{card.split('-')[1]} GiB, {form}", row["wall"], FORMS[form]) for (card, form, _), row in sorted(cards.items(), key=lambda item: item[0][1])]
    (PAGE.parent / "performance.svg").write_text(plot(lines, bars))
    text = []
    for used, form, row in sorted(rows, key=lambda row: (row[1], row[0])):
        text.append([f"{used:.2f} GiB", form, *costs(row), f"{row['wall'] / used:.1f}"])
    for (card, form, _), row in sorted(cards.items(), key=lambda item: (item[0][1], len(item[0][0]), item[0])):
        text.append([f"card of {card.split('-')[1]} GiB", form, *costs(row), ""])
    return "![cost against size](performance.svg)\n\n" + table(["used", "form", *COSTS, "wall s per GiB"], text)


def inputs():
    return table(["input", *COSTS], [[name, *costs(row)] for (_, _, name), row in best("inputs").items()])


def cache():
    rows = [[name, *costs(row)] for (_, _, name), row in best("cache").items()]
    return table(["run", *COSTS], rows)


def delta():
    rows = [[row["name"], str(row["changed"]), f"{row['share']:.2f} %", f"{row['zstd'] / MIB:.2f}", f"{row['xdelta3'] / MIB:.2f}"] for row in DATA.get("delta", [])]
    return table(["root filesystems made by", "blocks of 4 KiB that differ", "of those in use", "`zstd --patch-from` MiB", "`xdelta3` MiB"], rows)


def machine():
    about = DATA["machine"]
    text = f"{about['cpu']}, {about['cores']} cores, {about['ram']} of memory, Linux {about['kernel']}, results on {about['filesystem']}"
    return f"{text}; load when it began: {about['load']:.1f}."


def main():
    have = {row["group"] for row in DATA["results"]} | ({"delta"} if DATA.get("delta") else set())
    parts = {"machine": machine}
    needs = {ratios: "goldsmith", shares: "goldsmith", details: "goldsmith", series: "series", inputs: "inputs", cache: "cache", delta: "delta"}
    parts |= {part.__name__: part for part, group in needs.items() if group in have}
    for name, part in parts.items():
        put(PAGE, name, part())


main()
