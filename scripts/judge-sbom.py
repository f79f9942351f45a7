#!/usr/bin/env python3
"""judge-sbom.py [--damage] DIR: judges the bills of materials and the provenance in DIR.

With --damage, each file is damaged in several ways, and it fails unless each damage is found.
"""

import copy
import hashlib
import json
import pathlib
import sys
import tempfile

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing
from packageurl import PackageURL
from spdx_python_model import v3_0_1 as spdx

LICENSING = get_spdx_licensing()


def expression(text):
    """Fails unless all names of a licence expression are listed or begin with LicenseRef-."""
    parsed = LICENSING.parse(text, validate=False, strict=True)
    for key in LICENSING.unknown_license_keys(parsed):
        # A plus after an identifier means later versions too.
        listed = key.removesuffix("+") in LICENSING.known_symbols
        if not listed and not key.startswith("LicenseRef-"):
            raise ValueError(f"licence {key} is unknown")


def purl(text):
    """Fails unless a package URL is in its canonical form."""
    again = PackageURL.from_string(text).to_string()
    if again != text:
        raise ValueError(f"package URL {text} is {again} in canonical form")


def components(listed):
    for component in listed:
        yield component
        yield from components(component.get("components", []))


def cyclonedx(path):
    text = path.read_text()
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        raise ValueError(str(error.data)[:300])
    bill = json.loads(text)
    # The schema takes any text.
    if (bill["bomFormat"], bill["specVersion"]) != ("CycloneDX", "1.6"):
        raise ValueError("another version")
    listed = [bill["metadata"]["component"], *components(bill["components"])]
    references = {component["bom-ref"] for component in listed}
    if len(references) != len(listed):
        raise ValueError("a reference is there twice")
    for component in listed:
        for licence in component.get("licenses", []):
            expression(licence["expression"])
        if "purl" in component:
            purl(component["purl"])
    for dependency in bill["dependencies"]:
        used = {dependency["ref"], *dependency.get("dependsOn", [])}
        if not used <= references:
            raise ValueError(f"nothing has the reference {used - references}")
    for composition in bill["compositions"]:
        used = {*composition.get("assemblies", []), *composition.get("dependencies", [])}
        if not used <= references:
            raise ValueError(f"nothing has the reference {used - references}")
    return f"{len(listed)} components"


def spdx3(path):
    objects = spdx.SHACLObjectSet()
    with path.open("rb") as file:
        spdx.JSONLDDeserializer().read(file, objects)
    missing = {name for name in objects.link() if "/terms/" not in str(name)}
    if missing:
        raise ValueError(f"nothing has the identifier {sorted(missing)[:3]}")
    # Writing checks what must be there, and how often.
    spdx.JSONLDSerializer().write(objects, tempfile.TemporaryFile())
    for licence in objects.foreach_type("simplelicensing_LicenseExpression"):
        expression(licence.simplelicensing_licenseExpression)
    for package in objects.foreach_type("software_Package"):
        if package.software_packageUrl:
            purl(package.software_packageUrl)
    return f"{len(list(objects.foreach()))} objects"


def provenance(path):
    """Fails unless a statement has the fields that in-toto and SLSA require, and the sums are right."""
    statement = json.loads(path.read_text())
    predicate = statement["predicate"]
    for found, wanted in [
        (statement["_type"], "https://in-toto.io/Statement/v1"),
        (statement["predicateType"], "https://slsa.dev/provenance/v1"),
    ]:
        if found != wanted:
            raise ValueError(f"{found} is not {wanted}")
    definition = predicate["buildDefinition"]
    if not predicate["runDetails"]["builder"]["id"] or not definition["buildType"]:
        raise ValueError("no builder or type")
    if not isinstance(definition["externalParameters"], dict):
        raise ValueError("no parameters")
    for resource in definition["resolvedDependencies"]:
        if not ({"uri", "digest", "content"} & resource.keys()):
            raise ValueError(f"{resource} is not bound")
    if not statement["subject"]:
        raise ValueError("no subject")
    for subject in statement["subject"]:
        file = path.parent / subject["name"]
        if hashlib.sha256(file.read_bytes()).hexdigest() != subject["digest"]["sha256"]:
            raise ValueError(f"{file.name} has another digest")
    return f"{len(statement['subject'])} subjects"


JUDGES = {".cdx.json": cyclonedx, ".spdx3.json": spdx3, ".provenance.json": provenance}


def first(value, key):
    """The first object of a document that has the key."""
    if isinstance(value, dict):
        if key in value:
            return value
        value = list(value.values())
    for inner in value if isinstance(value, list) else []:
        found = first(inner, key)
        if found is not None:
            return found
    return None


def change(key, value):
    def damage(document):
        first(document, key)[key] = value

    return damage


def drop(key):
    def damage(document):
        del first(document, key)[key]

    return damage


DAMAGES = {
    ".cdx.json": {
        "a version of the format that there is not": change("specVersion", "1.66"),
        "no name": drop("name"),
        "a digest that is cut": change("hashes", [{"alg": "SHA-512", "content": "abc"}]),
        "an unknown key": lambda document: document.update({"unknown": 1}),
        "a time without zone": change("timestamp", "yesterday"),
        "a reference to nothing": change("dependsOn", ["nothing"]),
        "an unknown licence": change("licenses", [{"expression": "GPL-99"}]),
        "a package URL that is not encoded": change("purl", "pkg:deb/debian/a@1+2"),
    },
    ".spdx3.json": {
        "an unknown type": change("software_primaryPurpose", "nonsense"),
        "a relation from nowhere": change("from", "urn:nothing"),
        "a relation without an end": drop("to"),
        "an unknown algorithm": change("algorithm", "sha0"),
        "a time without zone": change("created", "yesterday"),
        "an unknown licence": change("simplelicensing_licenseExpression", "GPL-99"),
        "a name that is not a text": change("name", {"a": 1}),
    },
    ".provenance.json": {
        "another type": change("_type", "x"),
        "another digest": change("sha256", "00" * 32),
        "no builder": drop("builder"),
    },
}


def damaged(path, judge, damages):
    """Judges damaged copies of a file, next to it; returns the damages that were not found."""
    document = json.loads(path.read_text())
    missed = []
    for name, damage in damages.items():
        copied = copy.deepcopy(document)
        damage(copied)
        again = path.with_name("damaged" + path.name)
        again.write_text(json.dumps(copied))
        try:
            judge(again)
            missed.append(name)
            print(f"MISSED  {path.name}: {name}")
        except Exception as error:  # pylint: disable=broad-exception-caught
            print(f"found   {path.name}: {name}: {str(error).splitlines()[0][:100]}")
        finally:
            again.unlink()
    return missed


def main():
    arguments = sys.argv[1:]
    damage = "--damage" in arguments
    [directory] = [pathlib.Path(name) for name in arguments if name != "--damage"]
    failed = False
    for extension, judge in JUDGES.items():
        files = sorted(directory.glob(f"*{extension}"))
        if not files:
            sys.exit(f"{directory} has no *{extension}")
        for path in files:
            if damage:
                failed |= bool(damaged(path, judge, DAMAGES[extension]))
                continue
            try:
                print(f"valid   {path.name}: {judge(path)}")
            except Exception as error:  # pylint: disable=broad-exception-caught
                failed = True
                print(f"INVALID {path.name}: {type(error).__name__}: {error}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
