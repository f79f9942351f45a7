//! CycloneDX 1.6 in JSON (ECMA-424, 1st edition; `bom-1.6.schema.json`).
//!
//! The root filesystem is the subject. Its components are the operating system, the packages, and
//! one component for all files of no package; files are components of the package that brought
//! them. Properties that BSI TR-03183-2 asks for are those of the taxonomy `bsi:component` 0.1.2.

#![allow(
    clippy::indexing_slicing,
    reason = "keys of JSON objects, which are added"
)]

use super::bill::Bill;
use super::copyright::Licence;
use super::files::DeployedFile;
use super::packages::{Contact, DeployedPackage};
use super::uri;
use crate::digest::hex;
use crate::stamp::rfc3339;
use crate::tree::show;
use serde_json::{Value, json};
use std::io::{self, Write};

/// The references of components that are none of a package or file. No path or package URL is the
/// same.
const ROOT: &str = "root-filesystem";
const SYSTEM: &str = "operating-system";
const OTHERS: &str = "files-of-no-package";

/// Writes the bill, a component a line.
///
/// # Errors
/// I/O errors of `out`.
pub fn write(bill: &Bill, out: &mut dyn Write) -> io::Result<()> {
    let serial = format!("urn:uuid:{}", bill.uuid("CycloneDX 1.6"));
    writeln!(
        out,
        "{{\"$schema\":\"http://cyclonedx.org/schema/bom-1.6.schema.json\",\
         \"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.6\",\"serialNumber\":\"{serial}\",\
         \"version\":1,"
    )?;
    writeln!(out, "\"metadata\":{},", metadata(bill))?;
    let (of, others) = bill.by_package();
    list(out, "components", components(bill, &of, &others))?;
    out.write_all(b",\n")?;
    list(out, "dependencies", dependencies(bill, !others.is_empty()))?;
    out.write_all(b",\n")?;
    list(
        out,
        "compositions",
        compositions(bill, !others.is_empty()).into_iter(),
    )?;
    out.write_all(b"}\n")
}

/// A key with a list, an element a line.
fn list(out: &mut dyn Write, key: &str, values: impl Iterator<Item = Value>) -> io::Result<()> {
    write!(out, "\"{key}\":[")?;
    let mut separator = "\n";
    for value in values {
        out.write_all(separator.as_bytes())?;
        serde_json::to_writer(&mut *out, &value)?;
        separator = ",\n";
    }
    out.write_all(b"]")
}

fn metadata(bill: &Bill) -> Value {
    let subject = &bill.subject;
    let mut metadata = json!({
        "timestamp": rfc3339(subject.time),
        "lifecycles": [{"phase": "build"}],
        "tools": {"components": [{
            "type": "application",
            "name": "goldsmith",
            "version": env!("CARGO_PKG_VERSION"),
        }]},
    });
    let (sha256, sha512) = (hex(&subject.sha256), hex(&bill.sha512));
    let hashes = json!([
        {"alg": "SHA-256", "content": sha256},
        {"alg": "SHA-512", "content": sha512},
    ]);
    let (artifact, artifact_sha256) = &subject.artifact;
    let mut component = json!({
        "type": "firmware",
        "bom-ref": ROOT,
        "name": subject.name,
        "version": subject.version,
        "description": "the root filesystem of the release, as in both slots and in the Artifact",
        "hashes": hashes.clone(),
        "externalReferences": [
            {
                "type": "distribution",
                "url": uri::path(subject.file.as_bytes()),
                "comment": "the root filesystem, the payload of the Artifact",
                "hashes": hashes,
            },
            {
                "type": "distribution",
                "url": uri::path(artifact.as_bytes()),
                "comment": "the Mender Artifact that installs it",
                "hashes": [{"alg": "SHA-256", "content": hex(artifact_sha256)}],
            },
        ],
        "properties": flags(&subject.file, false, true),
    });
    if let Some(creator) = &subject.creator {
        component["manufacturer"] = entity(creator);
        metadata["manufacturer"] = entity(creator);
    }
    metadata["component"] = component;
    if !bill.remarks.is_empty() {
        let remarks = bill.remarks.iter();
        metadata["properties"] = remarks
            .map(|text| property("goldsmith:remark", text))
            .collect();
    }
    metadata
}

/// An `organizationalEntity`.
fn entity(contact: &Contact) -> Value {
    let mut out = json!({"name": contact.name});
    if let Some(url) = &contact.url {
        out["url"] = json!([url]);
    }
    if let Some(email) = &contact.email {
        out["contact"] = json!([{"email": email}]);
    }
    out
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

/// The properties of every file that BSI TR-03183-2 asks for. An archive names its parts, so it is
/// structured; everything else is not.
fn flags(name: &str, executable: bool, archive: bool) -> Value {
    let choice = |flag: bool, yes: &'static str, no: &'static str| if flag { yes } else { no };
    json!([
        property("bsi:component:filename", name),
        property(
            "bsi:component:executable",
            choice(executable, "executable", "non-executable")
        ),
        property(
            "bsi:component:archive",
            choice(archive, "archive", "no archive")
        ),
        property(
            "bsi:component:structured",
            choice(archive, "structured", "unstructured")
        ),
    ])
}

fn components<'b>(
    bill: &'b Bill,
    of: &'b [Vec<&'b DeployedFile>],
    others: &'b [&'b DeployedFile],
) -> impl Iterator<Item = Value> + 'b {
    let packages = bill.packages.iter().zip(of).map(|(package, files)| {
        let files = files
            .iter()
            .map(|file| self::file(bill, file, Some(package)));
        self::package(package, files.collect())
    });
    let others = (!others.is_empty()).then(|| {
        let files = others.iter().map(|file| self::file(bill, file, None));
        let mut group = json!({
            "type": "application",
            "bom-ref": OTHERS,
            "name": OTHERS,
            "version": bill.subject.version,
            "description": "the files of the root filesystem that no package brought",
            "components": files.collect::<Vec<_>>(),
        });
        if let Some(creator) = &bill.subject.creator {
            group["manufacturer"] = entity(creator);
        }
        group
    });
    system(bill).into_iter().chain(packages).chain(others)
}

fn system(bill: &Bill) -> Option<Value> {
    let os = &bill.os;
    let mut out = json!({
        "type": "operating-system",
        "bom-ref": SYSTEM,
        "name": os.id,
        "version": os.version_id,
        "description": os.pretty,
    });
    if let Some(url) = &bill.os_home {
        out["manufacturer"] = json!({"name": url, "url": [url]});
    }
    (!os.id.is_empty()).then_some(out)
}

fn package(package: &DeployedPackage, files: Vec<Value>) -> Value {
    let mut properties = vec![property("goldsmith:source", &package.source)];
    if let Some(version) = &package.source_version {
        properties.push(property("goldsmith:source-version", version));
    }
    let licence = match &package.licence {
        None => "the image has no copyright file of this package",
        Some(licence) if licence.machine_readable => "from a machine-readable copyright file",
        Some(_) => "the copyright file is not machine-readable: it is named as a whole",
    };
    properties.push(property("goldsmith:licence", licence));
    let unresolved = package.unresolved.iter();
    properties.extend(unresolved.map(|text| property("goldsmith:unresolved-dependency", text)));
    let mut out = json!({
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
    });
    if let Some(creator) = &package.creator {
        out["manufacturer"] = entity(creator);
    }
    if let Some(licences) = licences(package.licence.as_ref()) {
        out["licenses"] = licences;
    }
    if let Some(url) = &package.homepage {
        out["externalReferences"] = json!([{"type": "website", "url": url}]);
    }
    out["properties"] = properties.into();
    if !files.is_empty() {
        out["components"] = files.into();
    }
    out
}

fn licences(licence: Option<&Licence>) -> Option<Value> {
    let expression = &licence?.expression;
    Some(json!([{"expression": expression, "acknowledgement": "concluded"}]))
}

/// The reference of a file: its path.
fn reference(file: &DeployedFile) -> String {
    uri::path(&file.path)
}

fn file(bill: &Bill, file: &DeployedFile, package: Option<&DeployedPackage>) -> Value {
    let name = file.name();
    let hashes = json!([{"alg": "SHA-512", "content": hex(&file.sha512)}]);
    let mut properties = flags(&name, file.executable, file.archive);
    if let (Some(reason), Value::Array(properties)) = (&file.reason, &mut properties) {
        properties.push(property("goldsmith:reason", reason));
    }
    // Without a version, the time of the last change takes its place (section 5.2.2).
    let version = match package {
        Some(package) => package.version.clone(),
        None => rfc3339(file.mtime),
    };
    let reference = reference(file);
    let mut out = json!({
        "type": "file",
        "bom-ref": reference,
        "name": name,
        "version": version,
        "hashes": hashes.clone(),
        "externalReferences": [{
            "type": "distribution",
            "url": format!("file://{reference}"),
            "hashes": hashes,
        }],
        "evidence": {"occurrences": [{"location": show(&file.path)}]},
        "properties": properties,
    });
    let creator = match package {
        Some(package) => package.creator.as_ref(),
        None => bill.subject.creator.as_ref(),
    };
    if let Some(creator) = creator {
        out["manufacturer"] = entity(creator);
    }
    let licence = package.and_then(|package| package.licence.as_ref());
    if let Some(licences) = licences(licence) {
        out["licenses"] = licences;
    }
    out
}

/// The dependencies of each component; those that have none are listed without any.
fn dependencies(bill: &Bill, others: bool) -> impl Iterator<Item = Value> + '_ {
    let purl = |index: &usize| bill.packages.get(*index).map(|package| &package.purl);
    let group = others.then_some(OTHERS);
    let system = (!bill.os.id.is_empty()).then_some(SYSTEM);
    let packages = bill.packages.iter().map(|package| package.purl.as_str());
    let all: Vec<&str> = system.into_iter().chain(packages).chain(group).collect();
    let root = json!({"ref": ROOT, "dependsOn": all});
    let packages = bill.packages.iter().map(move |package| {
        let on: Vec<&String> = package.depends.iter().filter_map(purl).collect();
        json!({"ref": package.purl, "dependsOn": on})
    });
    let alone = system.into_iter().chain(group).map(str::to_owned);
    let alone = alone.chain(bill.files.iter().map(reference));
    let alone = alone.map(|reference| json!({"ref": reference}));
    std::iter::once(root).chain(packages).chain(alone)
}

/// How complete parts and dependencies are.
fn compositions(bill: &Bill, others: bool) -> Vec<Value> {
    let packages = |wanted: &dyn Fn(&DeployedPackage) -> bool| -> Vec<&str> {
        let packages = bill.packages.iter().filter(|package| wanted(package));
        packages.map(|package| package.purl.as_str()).collect()
    };
    let group = others.then_some(OTHERS);
    let mut whole = vec![ROOT];
    whole.extend(group);
    whole.extend(packages(&|package| package.listed));
    let mut known = vec![ROOT];
    known.extend(packages(&|package| package.unresolved.is_empty()));
    let system = (!bill.os.id.is_empty()).then_some(SYSTEM);
    let mut unknown: Vec<String> = bill.files.iter().map(reference).collect();
    unknown.extend(system.into_iter().chain(group).map(str::to_owned));
    let parts = [
        ("complete", whole),
        ("unknown", packages(&|package| !package.listed)),
    ];
    let depends = [
        ("complete", known),
        (
            "incomplete",
            packages(&|package| !package.unresolved.is_empty()),
        ),
        ("unknown", unknown.iter().map(String::as_str).collect()),
    ];
    let parts = parts.into_iter().filter(|(_, list)| !list.is_empty());
    let parts = parts.map(|(aggregate, list)| json!({"aggregate": aggregate, "assemblies": list}));
    let depends = depends.into_iter().filter(|(_, list)| !list.is_empty());
    let depends =
        depends.map(|(aggregate, list)| json!({"aggregate": aggregate, "dependencies": list}));
    parts.chain(depends).collect()
}
