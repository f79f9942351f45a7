//! Bills of materials and provenance: held against the files of the written filesystem, which
//! debugfs reads, and against the sums of the files next to them. `make test-sbom` has them judged
//! by the schemas.

use crate::support::{images, must, scratch, tool};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FORMAT: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";
const ALL: &str = "output.sbom=[\"cyclonedx\", \"spdx\", \"provenance\"]";
const NAME: &str = "golden-qemux86-64-r1";

/// The dpkg database of four packages, of which `gone` was removed.
fn database(root: &Path) {
    let paragraph = |name: &str, status: &str, arch: &str, more: &str| {
        format!(
            "Package: {name}\nStatus: {status}\nVersion: 1:2.0+dfsg-1~x\nArchitecture: {arch}\n\
             Maintainer: The {name} team <{name}@example.org>\n{more}Description: x\n\n"
        )
    };
    let status = [
        paragraph(
            "dash",
            "install ok installed",
            "amd64",
            "Pre-Depends: libx+1 (>= 1:1)\n",
        ),
        paragraph(
            "libx+1",
            "install ok installed",
            "amd64",
            "Source: libx (1:2.0-1)\nMulti-Arch: same\nProvides: x-abi (= 7)\n",
        ),
        paragraph(
            "tool",
            "install ok triggers-pending",
            "all",
            "Depends: no-such | x-abi (= 7), missing (>= 3)\nHomepage: https://example.org/\n",
        ),
        paragraph("gone", "deinstall ok config-files", "amd64", ""),
    ];
    let doc = |licence: &str| format!("{FORMAT}\nFiles: *\nCopyright: x\nLicense: {licence}\n");
    let files = [
        ("var/lib/dpkg/status", status.concat()),
        (
            "var/lib/dpkg/info/dash.list",
            "/.\n/bin\n/bin/dash\n/bin/sh\n/etc/conf\n".into(),
        ),
        (
            "var/lib/dpkg/info/libx+1:amd64.list",
            "/usr/lib/libx.so.1\n/usr/share/doc/libx+1/copyright\n/usr/bin/moved\n".into(),
        ),
        (
            "var/lib/dpkg/diversions",
            "/usr/bin/moved\n/usr/bin/moved.real\ntool\n".into(),
        ),
        ("usr/bin/moved", "#!/bin/sh\n".into()),
        ("usr/bin/moved.real", "of libx\n".into()),
        ("usr/lib/libx.so.1", "\x7fELF\x02".into()),
        (
            "usr/share/doc/dash/copyright",
            doc("BSD-3-clause or GPL-2+, and public-domain"),
        ),
        (
            "usr/share/doc/libx+1/copyright",
            "Some words that no program reads.\n".into(),
        ),
        ("etc/conf", "changed by hand\n".into()),
        ("usr/local/bin/a file + more", "#!/bin/sh\n".into()),
    ];
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// A golden image with these packages, and an overlay, in `dir`. `None` if tools are missing.
pub(crate) fn golden(dir: &Path) -> Option<PathBuf> {
    if !images::can_make() {
        return None;
    }
    let (root, filesystem, esp) = (dir.join("root"), dir.join("root.ext4"), dir.join("esp.fat"));
    images::debian(&root, 3 << 20);
    database(&root);
    images::ext4(&root, &filesystem, 16);
    fs::File::create(&esp).unwrap().set_len(8 << 20).unwrap();
    let mkfs = tool("mkfs.vfat").expect("looked for before");
    must(mkfs, &[&"-n", &"ESP", &"-i", &"12345678", &esp]);
    let disk = dir.join("golden.img");
    images::disk(&disk, &[(images::ESP, &esp), (images::LINUX, &filesystem)]);
    fs::create_dir_all(dir.join("overlay/etc")).unwrap();
    fs::write(dir.join("overlay/etc/added"), "by the overlay\n").unwrap();
    fs::write(dir.join("overlay/etc/conf"), "by the overlay too\n").unwrap();
    Some(disk)
}

/// Converts with bills into `out`, with `more` arguments.
fn convert(disk: &Path, out: &Path, more: &[&str]) {
    let overlay = disk.parent().unwrap().join("overlay");
    let mut command = images::convert(disk, out);
    command.args(["-q", "--set", "output.rootfs=true", "--overlay"]);
    command.arg(overlay).args(more);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

fn with_bills(disk: &Path, out: &Path, more: &[&str]) {
    let set = [
        "--set",
        ALL,
        "--set",
        "output.sbom-creator=security@example.com",
    ];
    convert(disk, out, &[&set[..], more].concat());
}

fn json(dir: &Path, extension: &str) -> Value {
    let bytes = fs::read(dir.join(format!("{NAME}.{extension}"))).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn sum(bits: &str, path: &Path) -> String {
    let out = must(format!("sha{bits}sum"), &[&path]);
    // A name that is escaped gets a backslash in front.
    let out = out.trim_start_matches('\\');
    out.split(' ').next().unwrap().to_owned()
}

/// The SHA-512 of each regular file of the written root filesystem, as debugfs reads it.
fn files(dir: &Path) -> Option<BTreeMap<String, String>> {
    let debugfs = tool("debugfs")?;
    let out = dir.join("dumped");
    fs::create_dir(&out).unwrap();
    let command = format!("rdump / {}", out.display());
    must(
        debugfs,
        &[&"-R", &command, &dir.join(format!("{NAME}.ext4"))],
    );
    let mut found = BTreeMap::new();
    let mut dirs = vec![out.clone()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap().file_type();
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_file() {
                let name = format!("/{}", path.strip_prefix(&out).unwrap().display());
                found.insert(name, sum("512", &path));
            }
        }
    }
    Some(found)
}

/// All components, also those within others.
fn components<'v>(list: &'v Value, out: &mut Vec<&'v Value>) {
    for component in list.as_array().into_iter().flatten() {
        out.push(component);
        components(&component["components"], out);
    }
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is a text"))
}

fn property<'v>(component: &'v Value, name: &str) -> Option<&'v str> {
    let all = component["properties"].as_array()?;
    let found = all.iter().find(|property| property["name"] == name)?;
    found["value"].as_str()
}

#[test]
fn cyclonedx_names_every_file_and_closes_every_reference() {
    let dir = scratch();
    let Some(disk) = golden(dir.path()) else {
        return;
    };
    with_bills(&disk, dir.path(), &[]);
    let Some(files) = files(dir.path()) else {
        return;
    };
    let bill = json(dir.path(), "cdx.json");
    let mut all = vec![&bill["metadata"]["component"]];
    components(&bill["components"], &mut all);
    let mut references = BTreeSet::new();
    for component in &all {
        let reference = text(&component["bom-ref"]);
        assert!(references.insert(reference), "{reference} is there twice");
        assert!(!text(&component["name"]).is_empty() && !text(&component["version"]).is_empty());
    }
    let listed: BTreeMap<String, String> = all
        .iter()
        .filter(|component| component["type"] == "file")
        .map(|file| {
            for flag in ["filename", "executable", "archive", "structured"] {
                assert!(
                    property(file, &format!("bsi:component:{flag}")).is_some(),
                    "{file}"
                );
            }
            let distribution = &file["externalReferences"][0];
            assert_eq!(distribution["hashes"], file["hashes"]);
            let path = text(&file["evidence"]["occurrences"][0]["location"]).to_owned();
            (path, text(&file["hashes"][0]["content"]).to_owned())
        })
        .collect();
    assert_eq!(listed, files);
    let mut described = BTreeSet::new();
    for dependency in bill["dependencies"].as_array().unwrap() {
        assert!(described.insert(text(&dependency["ref"])));
        for on in dependency["dependsOn"].as_array().into_iter().flatten() {
            assert!(references.contains(text(on)), "{on}");
        }
    }
    assert_eq!(described, references, "each component has its dependencies");
    let mut judged = BTreeSet::new();
    for composition in bill["compositions"].as_array().unwrap() {
        for key in ["assemblies", "dependencies"] {
            for reference in composition[key].as_array().into_iter().flatten() {
                assert!(references.contains(text(reference)), "{reference}");
                assert!(
                    judged.insert((key, text(reference))),
                    "{reference} is judged twice"
                );
            }
        }
    }
    for reference in &references {
        assert!(
            judged.contains(&("dependencies", *reference)),
            "{reference}"
        );
    }
    subject_is_the_filesystem(dir.path(), &bill);
    packages_are_described(&bill, &all);
}

fn subject_is_the_filesystem(dir: &Path, bill: &Value) {
    let root = &bill["metadata"]["component"];
    let filesystem = dir.join(format!("{NAME}.ext4"));
    assert_eq!(
        root["hashes"][0]["content"],
        sum("256", &filesystem).as_str()
    );
    assert_eq!(
        root["hashes"][1]["content"],
        sum("512", &filesystem).as_str()
    );
    let artifact = &root["externalReferences"][1];
    let file = dir.join(text(&artifact["url"]));
    assert_eq!(artifact["hashes"][0]["content"], sum("256", &file).as_str());
    let creator = &bill["metadata"]["manufacturer"]["contact"][0]["email"];
    assert_eq!(creator, "security@example.com");
}

fn packages_are_described(bill: &Value, all: &[&Value]) {
    let purl =
        |name: &str, rest: &str| format!("pkg:deb/debian/{name}@1:2.0%2Bdfsg-1~x?arch={rest}");
    let dash = purl("dash", "amd64&distro=debian-12");
    let libx = purl(
        "libx%2B1",
        "amd64&distro=debian-12&upstream=libx%401%3A2.0-1",
    );
    let libx = libx.replace("%3A", ":");
    let tool = purl("tool", "all&distro=debian-12");
    let packages = all
        .iter()
        .filter(|component| component["type"] == "library");
    let packages: BTreeMap<&str, &&Value> = packages
        .map(|package| (text(&package["purl"]), package))
        .collect();
    assert_eq!(
        packages.keys().copied().collect::<Vec<_>>(),
        [dash.as_str(), libx.as_str(), tool.as_str()]
    );
    let names = |package: &Value| -> Vec<String> {
        let files = package["components"].as_array().into_iter().flatten();
        files
            .map(|file| text(&file["bom-ref"]).to_owned())
            .collect()
    };
    assert_eq!(
        names(packages[dash.as_str()]),
        ["/etc/conf", "/usr/bin/dash"]
    );
    assert_eq!(
        names(packages[libx.as_str()]),
        [
            "/usr/bin/moved.real",
            "/usr/lib/libx.so.1",
            "/usr/share/doc/libx%2B1/copyright"
        ]
    );
    assert_eq!(
        names(packages[tool.as_str()]),
        [""; 0],
        "its list is missing"
    );
    let expression = |package: &str| &packages[package]["licenses"][0]["expression"];
    assert_eq!(
        expression(&dash),
        "(BSD-3-Clause OR GPL-2.0-or-later) AND LicenseRef-goldsmith-dash-public-domain"
    );
    assert_eq!(
        expression(&libx),
        "LicenseRef-goldsmith-libxplus1-copyright"
    );
    assert_eq!(expression(&tool), &Value::Null);
    let maintainer = &packages[dash.as_str()]["manufacturer"]["contact"][0]["email"];
    assert_eq!(maintainer, "dash@example.org");
    let depends: BTreeMap<&str, &Value> = bill["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dependency| (text(&dependency["ref"]), &dependency["dependsOn"]))
        .collect();
    assert_eq!(depends[dash.as_str()], &serde_json::json!([libx]));
    assert_eq!(depends[tool.as_str()], &serde_json::json!([libx]));
    let incomplete = bill["compositions"].as_array().unwrap().iter();
    let incomplete: Vec<_> = incomplete
        .filter(|composition| composition["aggregate"] == "incomplete")
        .map(|composition| &composition["dependencies"])
        .collect();
    assert_eq!(incomplete, [&serde_json::json!([tool])]);
    let find = |path: &str| *all.iter().find(|file| file["bom-ref"] == path).unwrap();
    let mine = find("/usr/local/bin/a%20file%20%2B%20more");
    assert_eq!(
        property(mine, "bsi:component:executable"),
        Some("executable")
    );
    assert_eq!(mine.get("licenses"), None);
    assert!(property(find("/etc/added"), "goldsmith:reason").is_some());
    assert!(property(find("/etc/conf"), "goldsmith:reason").is_some());
    assert_eq!(property(find("/usr/bin/dash"), "goldsmith:reason"), None);
}

#[test]
fn spdx_names_every_file_and_closes_every_reference() {
    let dir = scratch();
    let Some(disk) = golden(dir.path()) else {
        return;
    };
    with_bills(&disk, dir.path(), &[]);
    let Some(files) = files(dir.path()) else {
        return;
    };
    let bill = json(dir.path(), "spdx3.json");
    let graph = bill["@graph"].as_array().unwrap();
    let mut ids = BTreeSet::from(["https://spdx.org/rdf/3.0.1/terms/Core/NoneElement"]);
    for element in graph.iter().skip(1) {
        assert_eq!(element["creationInfo"], graph[0]["@id"]);
        assert!(ids.insert(text(&element["spdxId"])), "{element}");
    }
    let listed = graph.iter().filter(|element| {
        element["type"] == "software_File" && text(&element["spdxId"]).contains("#file/")
    });
    let hash = |file: &Value| {
        let path = text(&file["description"]).to_owned();
        (
            path,
            text(&file["verifiedUsing"][0]["hashValue"]).to_owned(),
        )
    };
    assert_eq!(listed.map(hash).collect::<BTreeMap<_, _>>(), files);
    let mut contained = BTreeSet::new();
    for element in graph {
        for key in [
            "from",
            "to",
            "originatedBy",
            "rootElement",
            "createdBy",
            "createdUsing",
        ] {
            let value = &element[key];
            let values = value
                .as_array()
                .map_or(std::slice::from_ref(value), Vec::as_slice);
            for value in values.iter().filter(|value| !value.is_null()) {
                assert!(ids.contains(text(value)), "{key} of {element}");
            }
        }
        for entry in element["simplelicensing_customIdToUri"]
            .as_array()
            .into_iter()
            .flatten()
        {
            assert!(ids.contains(text(&entry["value"])), "{entry}");
        }
        if element["relationshipType"] == "contains" {
            contained.extend(element["to"].as_array().unwrap().iter().map(text));
        }
    }
    for id in ids
        .iter()
        .filter(|id| id.contains("#file/") || id.contains("#package/"))
    {
        assert!(
            contained.contains(id) || id.ends_with("/unresolved"),
            "{id}"
        );
    }
}

#[test]
fn provenance_binds_results_to_inputs() {
    let dir = scratch();
    let Some(disk) = golden(dir.path()) else {
        return;
    };
    with_bills(&disk, dir.path(), &[]);
    let statement = json(dir.path(), "provenance.json");
    let mut named = BTreeSet::new();
    for subject in statement["subject"].as_array().unwrap() {
        let name = text(&subject["name"]);
        let found = sum("256", &dir.path().join(name));
        assert_eq!(subject["digest"]["sha256"], found.as_str(), "{name}");
        named.insert(name.strip_prefix(NAME).unwrap());
    }
    let all = [
        ".img",
        ".img.bmap",
        ".mender",
        ".ext4",
        ".cdx.json",
        ".spdx3.json",
        ".json",
    ];
    assert_eq!(named, BTreeSet::from(all));
    let definition = &statement["predicate"]["buildDefinition"];
    let inputs = definition["resolvedDependencies"].as_array().unwrap();
    assert_eq!(inputs[0]["digest"]["sha256"], sum("256", &disk).as_str());
    let overlay = inputs
        .iter()
        .find(|input| input["name"] == "overlay")
        .unwrap();
    let lines = "cd \"$1\" && find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum";
    let expected = must("sh", &[&"-c", &lines, &"sh", &dir.path().join("overlay")]);
    assert_eq!(overlay["digest"]["dirHash"], expected[..64]);
    let record = json(dir.path(), "json");
    let outputs = record["outputs"].as_array().unwrap();
    let kinds: Vec<&str> = outputs.iter().map(|output| text(&output["kind"])).collect();
    assert_eq!(
        kinds,
        [
            "image",
            "bmap",
            "artifact",
            "rootfs",
            "cyclonedx",
            "spdx",
            "provenance"
        ]
    );
    for output in outputs {
        let path = dir.path().join(text(&output["file"]));
        assert_eq!(
            output["size"],
            fs::metadata(&path).unwrap().len(),
            "{output}"
        );
        let wanted = (output["kind"] != "provenance").then(|| sum("256", &path));
        assert_eq!(output["sha256"].as_str(), wanted.as_deref(), "{output}");
    }
}

#[test]
fn the_same_bytes_wherever_and_with_however_many_threads() {
    let (one, two) = (scratch(), scratch());
    let (Some(first), Some(_)) = (golden(one.path()), golden(two.path())) else {
        return;
    };
    // The images may differ in the times of their files.
    let second = two.path().join("golden.img");
    fs::copy(&first, &second).unwrap();
    with_bills(&first, one.path(), &["--jobs", "1"]);
    with_bills(&second, two.path(), &["--jobs", "5"]);
    for extension in ["cdx.json", "spdx3.json", "provenance.json", "json"] {
        let [a, b] = [&one, &two]
            .map(|dir| fs::read(dir.path().join(format!("{NAME}.{extension}"))).unwrap());
        assert!(a == b, "{extension}");
        let text = String::from_utf8(a).unwrap();
        let place = one.path().file_name().unwrap().to_str().unwrap();
        assert!(!text.contains(place), "{extension} has a path of the host");
    }
}

#[test]
fn nothing_is_written_unasked_and_a_name_that_is_taken_is_refused_before() {
    let dir = scratch();
    let Some(disk) = golden(dir.path()) else {
        return;
    };
    convert(&disk, dir.path(), &[]);
    for extension in ["cdx.json", "spdx3.json", "provenance.json"] {
        assert!(!dir.path().join(format!("{NAME}.{extension}")).exists());
    }
    for extension in ["cdx.json", "spdx3.json", "provenance.json"] {
        let taken = dir.path().join(format!("{NAME}.{extension}"));
        fs::create_dir(&taken).unwrap();
        let mut command = images::convert(&disk, dir.path());
        let output = command.args(["--set", ALL]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("would replace a directory"),
            "{said}"
        );
        assert!(
            said.contains("output.sbom-creator"),
            "the bills have no creator: {said}"
        );
        fs::remove_dir(&taken).unwrap();
    }
}

/// Not a test of its own: writes the results that `make test-sbom` has judged.
#[test]
fn results_for_the_validators() {
    let Some(results) = std::env::var_os("GOLDSMITH_SBOM_RESULTS") else {
        return;
    };
    let dir = scratch();
    let Some(disk) = golden(dir.path()) else {
        return;
    };
    with_bills(&disk, Path::new(&results), &[]);
}
