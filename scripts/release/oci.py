#!/usr/bin/env python3
"""oci.py FILE VERSION ARCHITECTURE=PROGRAM...: an OCI image that holds the program alone, for each architecture, as a tar of its layout.

The same programs and SOURCE_DATE_EPOCH give the same bytes.
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
TYPES = "application/vnd.oci.image."


def tar(files):
    """A tar of files, by their names, with what they contain and their permissions."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), mode, EPOCH
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class Layout:
    """The blobs of an image layout."""

    def __init__(self):
        self.blobs = {}

    def put(self, kind, content, **more):
        """Adds a blob and returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[f"blobs/sha256/{digest}"] = (content, 0o644)
        return {"mediaType": TYPES + kind, "digest": f"sha256:{digest}", "size": len(content), **more}

    def put_json(self, kind, value, **more):
        return self.put(kind, to_json(value), **more)


def to_json(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def manifest(layout, architecture, program, annotations):
    layer = tar({"goldsmith": (program, 0o755)})
    platform = {"architecture": architecture, "os": "linux"}
    created = annotations["org.opencontainers.image.created"]
    config = {
        **platform,
        "created": created,
        "config": {"Entrypoint": ["/goldsmith"], "Labels": annotations, "WorkingDir": "/work"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{"created": created, "comment": "the program alone"}],
    }
    value = {
        "schemaVersion": 2,
        "mediaType": TYPES + "manifest.v1+json",
        "config": layout.put_json("config.v1+json", config),
        "layers": [layout.put("layer.v1.tar+gzip", gzip.compress(layer, 9, mtime=0))],
        "annotations": annotations,
    }
    return layout.put_json("manifest.v1+json", value, platform=platform)


def main():
    output, version, *programs = sys.argv[1:]
    annotations = {
        "org.opencontainers.image.title": "goldsmith",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        "org.opencontainers.image.created": datetime.datetime.fromtimestamp(EPOCH, datetime.UTC).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
    }
    if homepage := os.environ.get("HOMEPAGE"):
        annotations["org.opencontainers.image.url"] = homepage
    layout = Layout()
    manifests = []
    for word in programs:
        architecture, path = word.split("=", 1)
        manifests.append(manifest(layout, architecture, pathlib.Path(path).read_bytes(), annotations))
    index = {"schemaVersion": 2, "mediaType": TYPES + "index.v1+json", "manifests": manifests}
    # An index within the index: whoever loads the image by its name gets the manifest of their architecture.
    named = layout.put_json("index.v1+json", index)
    named["annotations"] = {"org.opencontainers.image.ref.name": version}
    files = {
        "oci-layout": (to_json({"imageLayoutVersion": "1.0.0"}), 0o644),
        "index.json": (to_json({**index, "manifests": [named]}), 0o644),
        **dict(sorted(layout.blobs.items())),
    }
    pathlib.Path(output).write_bytes(tar(files))


main()
