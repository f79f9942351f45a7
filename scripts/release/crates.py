#!/usr/bin/env python3
"""crates.py (bill | licences) [--linked NAME VERSION PURL LICENCE]... TARGET...

What the programs for these targets are linked from: as a bill of materials (CycloneDX 1.6), or as the licence texts of all crates.
--linked names a component other than a crate, such as the C library. Reads what cargo has fetched; needs no network. Both texts
depend on Cargo.lock, the arguments and SOURCE_DATE_EPOCH alone.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tomllib

TOP = pathlib.Path(__file__).resolve().parents[2]


def metadata(targets):
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1"]
    for target in targets:
        command += ["--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=TOP, check=True, stdout=subprocess.PIPE).stdout)


def is_macro(package):
    return any("proc-macro" in target["kind"] for target in package["targets"])


def linked(data):
    """The package of this project, and all that are linked into its program with the packages that each uses.

    Dependencies of tests and of build scripts are not linked. Procedural macros write code, but what they are made of is not linked.
    """
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    root = data["resolve"]["root"]
    uses, waiting = {}, [root]
    while waiting:
        at = waiting.pop()
        if at in uses:
            continue
        normal = [
            dep["pkg"]
            for dep in nodes[at]["deps"]
            if any(kind["kind"] is None for kind in dep["dep_kinds"])
        ]
        uses[at] = [] if is_macro(packages[at]) else sorted(normal)
        waiting += uses[at]
    order = sorted(uses, key=lambda at: (packages[at]["name"], packages[at]["version"]))
    return packages[root], [(packages[at], uses[at]) for at in order]


def checksums():
    lock = tomllib.loads((TOP / "Cargo.lock").read_text())
    return {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"


def component(package, sums):
    out = {
        "type": "application" if package["source"] is None else "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
    }
    if package["description"]:
        out["description"] = " ".join(package["description"].split())
    checksum = sums.get((package["name"], package["version"]))
    if checksum:
        out["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    # A slash is how OR was written once.
    out["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    out["purl"] = purl(package)
    return out


def bill(root, crates, others):
    sums = checksums()
    references = {package["id"]: purl(package) for package, _ in crates}
    more = [
        {
            "type": "library",
            "bom-ref": address,
            "name": name,
            "version": version,
            "licenses": [{"expression": licence}],
            "purl": address,
        }
        for name, version, address, licence in others
    ]
    depends = []
    for package, used in crates:
        on = [references[at] for at in used]
        if package["id"] == root["id"]:
            on += [one["purl"] for one in more]
        depends.append({"ref": purl(package), "dependsOn": sorted(on)})
    depends += [{"ref": one["purl"], "dependsOn": []} for one in more]
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
    own = component(root, sums)
    if homepage := os.environ.get("HOMEPAGE"):
        own["externalReferences"] = [{"type": "website", "url": homepage}]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": own,
        },
        "components": [component(p, sums) for p, _ in crates if p["id"] != root["id"]] + more,
        "dependencies": depends,
        "compositions": [{"aggregate": "complete", "dependencies": [purl(root)]}],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def licence_files(package):
    """The texts of licences in a crate, by the names of their files."""
    folder = pathlib.Path(package["manifest_path"]).parent
    words = ("licen", "copying", "notice", "copyright", "unlicense")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name.lower().startswith(words) and path.suffix not in (".rs", ".sh"):
            yield path.read_text(errors="replace").strip()


def licences(root, crates):
    """Each text once, after the names of the crates that have it."""
    texts, without = {}, []
    for package, _ in crates:
        if package["id"] == root["id"]:
            continue
        label = f"{package['name']} {package['version']} ({package['license']})"
        # Texts that differ in their line breaks alone are the same.
        found = {" ".join(text.split()): text for text in licence_files(package)}
        for words, text in found.items():
            texts.setdefault(words, (text, []))[1].append(label)
        if not found:
            without.append(label)
    parts = ["goldsmith is linked from the following crates. Each licence text is preceded by the crates that contain it.\n"]
    for text, labels in sorted(texts.values(), key=lambda item: (item[1], item[0])):
        parts.append("=" * 72 + "\n" + "".join(f"{label}\n" for label in labels) + "\n" + text + "\n")
    if without:
        parts.append("=" * 72 + "\nWithout a licence text of their own:\n\n" + "".join(f"{one}\n" for one in without))
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output", choices=["bill", "licences"])
    parser.add_argument("--linked", nargs=4, action="append", default=[])
    parser.add_argument("target", nargs="+")
    given = parser.parse_args()
    root, crates = linked(metadata(given.target))
    for package, _ in crates:
        if not package["license"]:
            sys.exit(f"crates.py: {package['name']} {package['version']} names no licence")
    if given.output == "bill":
        sys.stdout.write(bill(root, crates, given.linked))
    else:
        sys.stdout.write(licences(root, crates))


main()
