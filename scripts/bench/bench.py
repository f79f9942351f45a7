#!/usr/bin/env python3
"""bench.py GOLDSMITH COMPRESS GOLDEN MINI MINI2 DEBS WORK: measures goldsmith, the same work by hand, and the floor, side by side.

MINI and MINI2 are the golden images of two releases. Writes WORK/results.json, which page.py makes a page of. QUICK=1 measures a small
variant, PARTS names the parts to measure, COMPARE what is compared (card:form), ROUNDS how often. Nothing is judged here.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from measure import measure

HERE = Path(__file__).resolve().parent
GOLDSMITH, COMPRESS, GOLDEN, MINI, MINI2, DEBS, WORK = (Path(arg).resolve() for arg in sys.argv[1:8])
QUICK = os.environ.get("QUICK", "") not in ("", "0")
GIB = 1 << 30

# What the whole takes on the disk at most; with less the largest card is left out.
NEEDED = 36 * GIB
# Cards by name: MiB of files (0: those of the golden image alone) and of the card.
SERIES = [1024, 2048, 4096, 8192] if not QUICK else [300, 600, 900]
CARDS = {"image": (0, 2560)} | {f"used-{used}": (used, 3 * used) for used in SERIES}
# Cards of an earlier run are used again.
MADE = sum(file.stat().st_blocks * 512 for file in (WORK / "cards").glob("*.img"))
if not QUICK and shutil.disk_usage(WORK).free + MADE < NEEDED:
    print(f"bench: less than {NEEDED // GIB} GiB are free for {WORK}: there will be no card with 8 GiB of files", flush=True)
    CARDS.pop(f"used-{SERIES.pop()}")
BIG = SERIES[2] if not QUICK else SERIES[1]
CARDS |= {"card-8": (SERIES[1], 8192), "card-64": (SERIES[1], 65536)}
ROUNDS = int(os.environ.get("ROUNDS", 1 if QUICK else 2))
COMPARED = [("image", form, ROUNDS if form != "xz" else 1) for form in ("none", "gz", "zst", "xz")]
COMPARED += [(f"used-{BIG}", form, 1) for form in ("none", "gz")]
if QUICK:
    COMPARED = [("image", form, 1) for form in ("none", "gz", "zst")]
if wanted := os.environ.get("COMPARE", "").split():
    COMPARED = [row for row in COMPARED if ":".join(row[:2]) in wanted]

IMAGE = {"none": "raw", "gz": "gz", "xz": "xz", "zst": "zst"}
ARTIFACT = {"none": "none", "gz": "gzip", "xz": "xz", "zst": "zstd"}


def disk(card):
    """MiB of the disk that a card becomes: twice the card, so that both slots fit; as large as it where cards are compared."""
    size = CARDS[card][1]
    return size if card.startswith("card-") else max(2 * size, 8192)


def config(disk_mib):
    """The configuration of a conversion."""
    return f"""[board]
device-type = ["qemux86-64"]
[storage]
size = "{disk_mib} MiB"
[boot]
size = "64 MiB"
[data]
size = "128 MiB"
[client]
packages = ["{DEBS}/*.deb"]
managed = false
"""


def convert(card, form, *more):
    command = [GOLDSMITH, "convert", "-q", "-c", WORK / f"{card}.toml", "-n", "release", "--output-dir", ".", *more]
    if "--cache" not in more:
        command.append("--no-cache")
    if form == "zst":
        # The update client of the golden image's release cannot read Zstandard, so none is installed.
        command += ["-s", "client.packages=[]", "-s", "client.required=false"]
    command += ["-s", f'output.image="{IMAGE[form]}"', "-s", f'artifact.compression="{ARTIFACT[form]}"', WORK / "cards" / f"{card}.img"]
    return " ".join(f"'{part}'" for part in command)


RESULTS = []
DELTA = []


def run(group, name, card, form, script, **environment):
    environment = {key: str(value) for key, value in environment.items()}
    cost = measure(script, WORK / "run", environment)
    used = os.stat(WORK / "cards" / f"{card}.img").st_blocks * 512
    RESULTS.append({"group": group, "name": name, "card": card, "form": form, "used": used} | cost.as_json())
    print(f"{group:10} {card:10} {form:5} {name:28} {cost.wall:7.2f} s wall {cost.cpu:7.2f} s CPU {cost.memory >> 20:5} MiB", flush=True)
    return cost


def warm(*files):
    for file in files:
        subprocess.run(["cat", file], stdout=subprocess.DEVNULL, check=True)


def prepare(card):
    """Converts once: for the sizes, and for the root filesystem that compressors are measured on."""
    into = WORK / "reference" / card
    measure(convert(card, "none", "-s", "output.rootfs=true", "-s", 'output.name="made"'), into, {})
    record = json.loads((into / "made.json").read_text())
    boot = record["disk"]["partitions"][0]
    # By another process: what this one holds would count as memory of those that it starts.
    blocks = [f"skip={boot['start'] >> 20}", f"count={boot['size'] >> 20}"]
    subprocess.run(["dd", "bs=1M", "status=none", *blocks, f"if={into / 'made.img'}", f"of={into / 'boot.fat'}"], check=True)
    if card != "image":
        (into / "made.img").unlink()
        (into / "made.mender").unlink()
    return into


def floors(root, form):
    """What no converter can beat: the bytes copied, or the compressor alone."""
    if form == "none":
        copies = {"cp --sparse=always once": [root]}
        results = [root.with_name("made.img"), root.with_name("made.mender")]
        if all(file.exists() for file in results):
            copies = {"cp --sparse=always of the results": results} | copies
        return {name: "\n".join(f"cp --sparse=always '{file}' ." for file in files) for name, files in copies.items()}
    alone = {"gz": "pigz -6 -c", "xz": "xz -6 -T0 -c", "zst": "zstd -q -9 -T0 -c"}[form]
    rivals = {f"{alone[:-3]} alone": f"{alone} '{root}' >out"}
    if form == "gz":
        # It has one thread.
        rivals["libdeflate-gzip -6 alone, in pieces"] = f"'{HERE}/in-pieces.sh' '{root}' libdeflate-gzip -6"
    ours = f"'{COMPRESS}' {ARTIFACT[form]} '{root}' out"
    return rivals | {"our compressor alone": ours, "our compressor alone, frames verified": f"{ours} verified"}


def compare():
    trees = WORK / "cards"
    for card in dict.fromkeys(card for card, _, _ in COMPARED):
        reference = prepare(card)
        tree = trees / "tree" if card == "image" else extract(card)
        root = reference / "made.ext4"
        by_hand = dict(TREE=tree, RECORD=reference / "made.json", BOOT=reference / "boot.fat")
        wanted = [(form, rounds) for name, form, rounds in COMPARED if name == card]
        for turn in range(max(rounds for _, rounds in wanted)):
            for form in (form for form, rounds in wanted if turn < rounds):
                warm(trees / f"{card}.img", root)
                if form == "none":
                    warm(*reference.glob("made.img"), *reference.glob("made.mender"))
                run("goldsmith", "goldsmith", card, form, convert(card, form))
                run("hand", "by hand", card, form, f"'{HERE}/handmade.sh'", FORM=form, **by_hand)
                for name, script in floors(root, form).items():
                    run("floor", name, card, form, script)
        if tree != trees / "tree":
            subprocess.run(["rm", "-rf", "--one-file-system", tree], check=True)
        for file in (root, root.with_name("made.img"), root.with_name("made.mender")):
            file.unlink(missing_ok=True)


def extract(card):
    """The files of a card, for the hand-made pipeline; how long that takes is not counted."""
    tree = WORK / "tree"
    subprocess.run(["rm", "-rf", "--one-file-system", tree], check=True)
    tree.mkdir()
    image = f"{WORK}/cards/{card}.img?offset={65 << 20}"
    extractor = ["debugfs", "-R", f"rdump / {tree}", image]
    subprocess.run(extractor if os.geteuid() == 0 else ["fakeroot", *extractor], check=True, capture_output=True)
    return tree


def series():
    """Cost against used bytes, and against the size of the card."""
    for card in [f"used-{used}" for used in SERIES] + ["card-8", "card-64"]:
        group = "cards" if card.startswith("card-") else "series"
        for form in ("zst", "gz"):
            warm(WORK / "cards" / f"{card}.img")
            run(group, "goldsmith", card, form, convert(card, form))


def inputs():
    """The same card in other forms: what it costs to unpack them."""
    card = "image"
    plain = WORK / "cards" / f"{card}.img"
    makers = {
        "raw": None,
        "gz": f"pigz -6 -c '{plain}' >image.img.gz",
        "xz": f"xz -1 -T0 -c '{plain}' >image.img.xz",
        "zst": f"zstd -q -3 -T0 -c '{plain}' >image.img.zst",
        "qcow2": f"qemu-img convert -O qcow2 -c '{plain}' image.qcow2",
    }
    for form, maker in makers.items():
        source = plain
        if maker:
            measure(maker, WORK / "input", {})
            (source,) = (WORK / "input").iterdir()
        warm(source)
        script = convert(card, "zst").replace(f"'{plain}'", f"'{source}'")
        run("inputs", form, card, "zst", script)


def offset(image):
    """Where the root partition of a golden image begins, in bytes."""
    return json.loads(said("sfdisk", "-J", str(image)))["partitiontable"]["partitions"][1]["start"] * 512


def cache():
    """Cold, warm, and after one file of the golden image was changed where it is."""
    card = "image"
    plain, changed = WORK / "cards" / f"{card}.img", WORK / "changed.img"
    subprocess.run(["cp", "--sparse=always", plain, changed], check=True)
    (WORK / "file").write_text("changed\n" * 5000)
    script = f"rm /etc/bash.bashrc\nwrite {WORK}/file /etc/bash.bashrc\n"
    command = ["debugfs", "-w", "-f", "-", f"{changed}?offset={offset(changed)}"]
    subprocess.run(command, input=script.encode(), check=True, capture_output=True)
    subprocess.run(["rm", "-rf", WORK / "cache"], check=True)
    warm(plain, changed)
    for form in ("gz", "zst"):
        run("cache", f"{form}, without a cache", card, form, convert(card, form))
        kept = convert(card, form, "--cache", WORK / "cache")
        run("cache", f"{form}, an empty cache", card, form, kept)
        run("cache", f"{form}, the same image again", card, form, kept)
        run("cache", f"{form}, one file changed", card, form, kept.replace(f"'{plain}'", f"'{changed}'"))
        results = WORK / "warm"
        shutil.rmtree(results, ignore_errors=True)
        (WORK / "run").rename(results)
        run("cache", f"{form}, `cp` of those results", card, form, f"cp --sparse=always '{results}'/* .")
        shutil.rmtree(results)


def differ(old, new):
    """How many blocks of 4 KiB of two files differ, and how many of the new one are not zero."""
    changed = used = 0
    zeros = bytes(4096)
    with open(old, "rb") as left, open(new, "rb") as right:
        while part := right.read(1 << 20):
            before = left.read(1 << 20)
            for at in range(0, len(part), 4096):
                block = part[at : at + 4096]
                used += block != zeros
                changed += block != before[at : at + 4096]
    return changed, used


def delta():
    """What differs between the root filesystems of two releases."""
    made = WORK / "delta"
    names = {"goldsmith": "goldsmith", "like": "goldsmith, `--preserve-layout`", "mke2fs": "`mke2fs -d`"}
    (WORK / "mini.toml").write_text(config(8192))
    subprocess.run(["rm", "-rf", "--one-file-system", made], check=True)
    made.mkdir()
    base = ["'" + str(GOLDSMITH) + "'", "convert", "-q", "--no-cache", "-c", str(WORK / "mini.toml"), "-s", "output.rootfs=true", "-s", "artifact.compression=none"]
    for release, image, more in (("1", MINI, []), ("2", MINI2, []), ("like", MINI2, ["--preserve-layout", str(made / "1.ext4")])):
        place = WORK / "run"
        measure(" ".join([*base, *more, "-n", f"release-{release[0]}", "-s", "output.name=r", "--output-dir", ".", str(image)]), place, {})
        (place / "r.ext4").rename(made / f"{release}.ext4")
    for release, image in (("1", MINI), ("2", MINI2)):
        tree = made / f"tree-{release}"
        tree.mkdir()
        size = (made / "1.ext4").stat().st_size // 1024
        script = f"debugfs -R 'rdump / {tree}' '{image}?offset={offset(image)}'\n"
        script += f"mke2fs -q -t ext4 -U 6b0c5b1e-7d43-4f4b-9c35-1f2f7a0f9e41 -E hash_seed=6b0c5b1e-7d43-4f4b-9c35-1f2f7a0f9e41 -d '{tree}' ../delta/mke2fs-{release}.ext4 {size}k"
        measure(script if os.geteuid() == 0 else f"fakeroot bash <<'E'\n{script}\nE", WORK / "run", {})
    pairs = {"goldsmith": ("1", "2"), "like": ("1", "like"), "mke2fs": ("mke2fs-1", "mke2fs-2")}
    for name, (old, new) in pairs.items():
        old, new, patch = made / f"{old}.ext4", made / f"{new}.ext4", made / "patch"
        changed, used = differ(old, new)
        subprocess.run(["zstd", "-q", "-f", "-9", "--long=31", f"--patch-from={old}", new, "-o", patch], check=True)
        zstd = patch.stat().st_size
        subprocess.run(["xdelta3", "-e", "-f", "-1", "-B", str(512 << 20), "-s", old, new, patch], check=True)
        DELTA.append({"name": names[name], "changed": changed, "share": 100 * changed / used, "zstd": zstd, "xdelta3": patch.stat().st_size})
        print(f"delta      {name:10} {changed} of {used} blocks, zstd {zstd}, xdelta3 {DELTA[-1]['xdelta3']}", flush=True)
    subprocess.run(["rm", "-rf", "--one-file-system", made], check=True)


def said(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def machine():
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    ram = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
    kind = said("stat", "-f", "-c", "%T", str(WORK)).strip()
    return {
        "cpu": cpu[1] if cpu else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": re.match(r"[0-9.]+", platform.release())[0],
        "ram": f"{round(ram / GIB)} GiB",
        "filesystem": kind,
        "load": os.getloadavg()[0],
    }


def main():
    os.environ["LC_ALL"] = "C"
    os.environ.pop("SOURCE_DATE_EPOCH", None)
    about = machine()
    cards = [f"{name}:{used}:{size}" for name, (used, size) in sorted(CARDS.items(), key=lambda card: card[1])]
    subprocess.run([HERE / "cards.sh", WORK / "cards", GOLDEN, *cards], check=True)
    for card in CARDS:
        (WORK / f"{card}.toml").write_text(config(disk(card)))
    parts = {"compare": compare, "series": series, "inputs": inputs, "cache": cache, "delta": delta}
    for name in os.environ.get("PARTS", " ".join(parts)).split():
        parts[name]()
        # What was measured stays when a later part is cut short.
        results = {"machine": about, "quick": QUICK, "results": RESULTS, "delta": DELTA}
        (WORK / "results.json").write_text(json.dumps(results, indent=1))


main()
