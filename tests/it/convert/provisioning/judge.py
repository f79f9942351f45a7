"""Judges what a conversion wrote for the provisioner and the imager: judge.py SCHEMAS UNPACKED IMAGE MANIFEST

SCHEMAS has the schemas, UNPACKED the files of the archive, IMAGE is the disk as it is on a device.
"""

import hashlib
import json
import os
import struct
import sys
import uuid

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
    """Start and length of each partition (bytes), and the table with the identifier of the disk."""
    found = []
    if disk[450] == 0xEE:
        table = struct.unpack_from("<Q", disk, 512 + 72)[0] * 512
        for number in range(128):
            entry = disk[table + number * 128 : table + number * 128 + 128]
            first, last = struct.unpack_from("<QQ", entry, 32)
            if any(entry[:16]):
                found.append((first * 512, (last - first + 1) * 512))
        identifier = uuid.UUID(bytes_le=disk[512 + 56 : 512 + 72])
        return found, {"label": "gpt", "id": str(identifier)}
    for number in range(4):
        start, count = struct.unpack_from("<II", disk, 446 + number * 16 + 8)
        found.append((start * 512, count * 512))
    identifier = struct.unpack_from("<I", disk, 440)[0]
    return found, {"label": "dos", "id": f"0x{identifier:08x}"}


def provisioner(schemas, unpacked, disk):
    names = sorted(os.listdir(unpacked))
    assert [name for name in names if name.endswith(".json")] == ["image.json"], names
    image = load(unpacked, "image.json")
    jsonschema.validate(image, load(schemas, "image.schema.json"))
    places, table = partitions(disk)
    layout = image["layout"]
    assert layout["partitiontable"] == table
    assert len(places) == len(layout["partitionimages"]), places
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
    fats = [name for name in order if layout["partitionimages"][name]["type"] == "vfat"]
    assert bootable == fats == order[: len(fats)], bootable
    slots = {}
    for entry in layout["provisionmap"][1:]:
        groups = {"": entry} if "partitions" in entry else entry["slots"]
        for slot, group in groups.items():
            for reference in group["partitions"]:
                role = reference.get("static", {}).get("role", "")
                slots.setdefault(slot, []).append((reference["image"], role))
    # With a boot partition for each slot, each is in its slot, next to its root filesystem.
    if len(order) == 6:
        assert slots["A"] == [(order[1], "boot"), (order[3], "system")], slots
        assert slots["B"] == [(order[2], "boot"), (order[4], "system")], slots
    else:
        assert (order[0], "boot") in slots[""], slots


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
