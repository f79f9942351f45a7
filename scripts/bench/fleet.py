#!/usr/bin/env python3
"""fleet.py GOLDSMITH GOLDEN WORK PAGE: measures `fleet convert` with 1 to 64 boards and writes the table between the markers in PAGE.

The boards differ in their device type. BOARDS names the numbers of boards, FORMS the values of output.image. Fleets for which the disk has
no room are left out, which is said.
"""

import os
import shutil
import sys
from pathlib import Path

from bench_text import put, seconds, table
from measure import measure

GOLDSMITH, GOLDEN, WORK, PAGE = (Path(arg).resolve() for arg in sys.argv[1:5])
BOARDS = [int(count) for count in os.environ.get("BOARDS", "1 2 4 8 16 32 64").split()]
FORMS = os.environ.get("FORMS", "gz none").split()
RESULTS = {"gz": "gz image, gzip Artifact", "none": "gzip Artifact alone"}
MIB, GIB = 1 << 20, 1 << 30
# What stays free for others.
SPARE = 8 * GIB


def fleet(boards, form):
    text = f'[all]\ngolden-image = "{GOLDEN}"\nconfig = "qemux86-64"\nset = {{ artifact.name = "1", client.required = false, output.image = "{form}" }}\n'
    for number in range(boards):
        name = f"board-{number:02}"
        text += f'\n[[board]]\nname = "{name}"\nset = {{ board.device-type = "{name}" }}\n'
    return text


def curve(form):
    """The cost of each number of boards."""
    costs = {}
    for boards in BOARDS:
        room = shutil.disk_usage(WORK).free - SPARE
        if costs and max(cost.left_disk / count for count, cost in costs.items()) * boards > room:
            print(f"bench: there is no room for {boards} boards with output.image={form}", flush=True)
            break
        file = WORK / "fleet.toml"
        file.write_text(fleet(boards, form).replace("[all]\n", f'output-dir = "{WORK / "run" / "deploy"}"\n[all]\n'))
        cost = measure(f"'{GOLDSMITH}' fleet convert -q --no-cache '{file}' >summary.txt", WORK / "run", {})
        shutil.rmtree(WORK / "run")
        costs[boards] = cost
        print(f"{form:5} {boards:3} boards {cost.cpu:7.2f} s CPU {cost.wall:7.2f} s wall {cost.memory >> 20:5} MiB", flush=True)
    return costs


def rows(form, costs):
    first, one = next(iter(costs.items()))
    for boards, cost in costs.items():
        relative = further = ""
        if first == 1:
            relative = f"{cost.cpu / one.cpu:.2f}"
            if boards > 1:
                further = f"{(cost.cpu / one.cpu - 1) / (boards - 1):.2f}"
        yield [RESULTS.get(form, form), str(boards), seconds(cost.cpu), relative, further, seconds(cost.wall), f"{cost.memory / MIB:.0f}"]


def main():
    os.environ["LC_ALL"] = "C"
    os.environ.pop("SOURCE_DATE_EPOCH", None)
    WORK.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    lines = [row for form in FORMS for row in rows(form, curve(form))]
    head = ["results", "boards", "CPU s", "relative to one", "each further board, of one", "wall s", "memory MiB"]
    used = os.stat(GOLDEN).st_blocks * 512 / GIB
    about = f"{used:.1f} GiB used, {len(os.sched_getaffinity(0))} cores, load when it began: {load:.1f}."
    put(PAGE, "cost", f"{about}\n\n{table(head, lines)}")


main()
