"""Judges what a conversion wrote for the provisioner and the imager: judge.py SCHEMAS UNPACKED IMAGE MANIFEST

SCHEMAS has the schemas, UNPACKED the files of the archive, IMAGE is the disk as it is on a device.
"""

import hashlib
import json
import os
import struct
import sys

import jsonschema


def load(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return json.load(file)


def expanded(path):
    """The bytes that a sparse image stands for."""
    with open(path, "rb") as file:
        data = file.read()
    magic, major, _, head, chunk_head, block, blocks, chunks, _ = struct.unpack_from("<IHHHHIIII", data)
    assert (magic, major, head, chunk_head) == (0xED26FF3A, 1, 28, 12), path
    at, out = head, bytearray()
    for _ in range(chunks):
        kind, _, count, size = struct.unpack_from("<HHII", data, at)
        body = data[at + chunk_head : at + size]
        if kind == 0xCAC1:
            assert len(body) == count * block, path
            out += body
        elif kind == 0xCAC2:
            out += body * (count * block // 4)
        elif kind == 0xCAC3:
            out += bytes(count * block)
        else:
            raise AssertionError(f"{path}: a chunk of kind {kind:x}")
        at += size
    assert len(out) == blocks * block and at == len(data), path
    return bytes(out)


def partitions(disk):
    """Start and length of each partition of an MBR (bytes), and the identifier of the disk."""
    found = []
    for number in range(4):
        start, count = struct.unpack_from("<II", disk, 446 + number * 16 + 8)
        found.append((start * 512, count * 512))
    return found, struct.unpack_from("<I", disk, 440)[0]


def provisioner(schemas, unpacked, disk):
    names = sorted(os.listdir(unpacked))
    assert [name for name in names if name.endswith(".json")] == ["image.json"], names
    image = load(unpacked, "image.json")
    jsonschema.validate(image, load(schemas, "image.schema.json"))
    places, identifier = partitions(disk)
    layout = image["layout"]
    assert layout["partitiontable"] == {"label": "dos", "id": f"0x{identifier:08x}"}
    assert image["attributes"]["image-size"] == len(disk)
    order = []
    for entry in layout["provisionmap"][1:]:
        groups = [entry] if "partitions" in entry else list(entry["slots"].values())
        order += [reference["image"] for group in groups for reference in group["partitions"]]
    assert sorted(order) == sorted(layout["partitionimages"]), order
    used = set()
    for name, (start, size) in zip(order, places):
        part = layout["partitionimages"][name]
        assert part["name"] == name and part["size"] == size, part
        assert expanded(os.path.join(unpacked, part["simage"])) == disk[start : start + size], name
        used.add(part["simage"])
    assert sorted(used) == [name for name in names if name != "image.json"], used
    bootable = [name for name in order if layout["partitionimages"][name]["bootable"] == "true"]
    assert bootable == order[:1], bootable
    roles = [
        reference["image"]
        for entry in layout["provisionmap"][1:]
        for group in ([entry] if "partitions" in entry else entry["slots"].values())
        for reference in group["partitions"]
        if reference.get("static", {}).get("role") == "boot"
    ]
    assert roles == bootable, roles


def imager(schemas, disk, manifest):
    found = load(manifest)
    jsonschema.validate(found, load(schemas, "os-list.schema.json"))
    (entry,) = found["os_list"]
    assert entry["extract_size"] == len(disk)
    assert entry["extract_sha256"] == hashlib.sha256(disk).hexdigest()
    file = os.path.join(os.path.dirname(manifest), entry["url"].rsplit("/", 1)[1])
    assert entry["image_download_size"] == os.path.getsize(file), file


def main():
    schemas, unpacked, image, manifest = sys.argv[1:]
    with open(image, "rb") as file:
        disk = file.read()
    provisioner(schemas, unpacked, disk)
    imager(schemas, disk, manifest)


main()
