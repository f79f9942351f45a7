//! SPDX 3.0.1 in JSON-LD (ISO/IEC DIS 5962:2024, annex "Serialization information"), profiles core,
//! software and simpleLicensing.
//!
//! The root filesystem and each package are a `software_Package`, each file a `software_File` that
//! one of them contains. The files that no package brought are those of the root filesystem itself.
//! The mapping of fields is that of BSI TR-03183-2 version 2.1.0, section 8.2.

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
use std::collections::BTreeMap;
use std::io::{self, Write};

/// The node that says who made all elements, and when.
const CREATION: &str = "_:creation";
/// The element that stands for nothing, so that an empty list can be complete.
const NONE: &str = "https://spdx.org/rdf/3.0.1/terms/Core/NoneElement";
/// The version of the list of licences whose identifiers are used.
const LICENCE_LIST: &str = "3.28.0";

/// Writes the bill, an element a line.
///
/// # Errors
/// I/O errors of `out`.
pub fn write(bill: &Bill, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(
        b"{\"@context\":\"https://spdx.org/rdf/3.0.1/spdx-context.jsonld\",\"@graph\":[\n",
    )?;
    let mut graph = Graph {
        out,
        base: format!("urn:uuid:{}", bill.uuid("SPDX 3.0.1")),
        relations: 0,
        agents: BTreeMap::new(),
        licences: BTreeMap::new(),
    };
    graph.document(bill)?;
    graph.root(bill)?;
    let (of, others) = bill.by_package();
    for (package, files) in bill.packages.iter().zip(&of) {
        graph.package(bill, package, files)?;
    }
    for file in &others {
        graph.file(file)?;
    }
    let root = graph.id("root");
    let parts = bill
        .packages
        .iter()
        .map(|package| graph.package_id(package));
    let parts: Vec<String> = parts
        .chain(others.iter().map(|file| graph.file_id(file)))
        .collect();
    graph.relation(&root, "contains", &parts, "complete")?;
    graph.out.write_all(b"\n]}\n")
}

/// The elements as they are written.
struct Graph<'o> {
    out: &'o mut dyn Write,
    /// What the identifiers of all elements begin with.
    base: String,
    /// How many relations have been written.
    relations: usize,
    /// The number of each agent that has been written.
    agents: BTreeMap<Contact, usize>,
    /// The number of each expression that has been written.
    licences: BTreeMap<String, usize>,
}

impl Graph<'_> {
    fn id(&self, name: &str) -> String {
        format!("{}#{name}", self.base)
    }

    fn package_id(&self, package: &DeployedPackage) -> String {
        let name = [package.name.as_str(), package.architecture.as_str()].join("/");
        self.id(&format!("package/{}", uri::path(name.as_bytes())))
    }

    fn file_id(&self, file: &DeployedFile) -> String {
        self.id(&format!("file{}", uri::path(&file.path)))
    }

    /// Writes an element that follows another one.
    fn put(&mut self, element: &Value) -> io::Result<()> {
        self.out.write_all(b",\n")?;
        Ok(serde_json::to_writer(&mut *self.out, element)?)
    }

    /// An element of `kind`.
    fn element(&self, kind: &str, id: &str) -> Value {
        json!({"type": kind, "spdxId": id, "creationInfo": CREATION})
    }

    fn relation(
        &mut self,
        from: &str,
        kind: &str,
        to: &[String],
        completeness: &str,
    ) -> io::Result<()> {
        let none = [NONE.to_owned()];
        self.relations = self.relations.saturating_add(1);
        let mut out = self.element(
            "Relationship",
            &self.id(&format!("relation-{}", self.relations)),
        );
        out["from"] = from.into();
        out["relationshipType"] = kind.into();
        out["to"] = json!(if to.is_empty() { &none } else { to });
        out["completeness"] = completeness.into();
        self.put(&out)
    }

    /// The creation, the document and the bill.
    fn document(&mut self, bill: &Bill) -> io::Result<()> {
        let subject = &bill.subject;
        let (tool, program, creator) = (self.id("tool"), self.id("program"), self.id("creator"));
        let by = if subject.creator.is_some() {
            &creator
        } else {
            &program
        };
        let creation = json!({
            "type": "CreationInfo",
            "@id": CREATION,
            "specVersion": "3.0.1",
            "created": rfc3339(subject.time),
            "createdBy": [by],
            "createdUsing": [tool],
        });
        serde_json::to_writer(&mut *self.out, &creation)?;
        let name = concat!("goldsmith ", env!("CARGO_PKG_VERSION"));
        let mut element = self.element("Tool", &tool);
        element["name"] = name.into();
        self.put(&element)?;
        let element = match &subject.creator {
            Some(contact) => self.agent_of("Organization", &creator, contact, "urlScheme"),
            None => {
                let mut element = self.element("SoftwareAgent", &program);
                element["name"] = name.into();
                element
            }
        };
        self.put(&element)?;
        let sbom = self.id("sbom");
        let mut document = self.element("SpdxDocument", &self.id("document"));
        document["name"] = format!("{} {}", subject.name, subject.version).into();
        document["profileConformance"] = json!(["core", "software", "simpleLicensing"]);
        document["rootElement"] = json!([sbom]);
        self.put(&document)?;
        let mut element = self.element("software_Sbom", &sbom);
        element["name"] = format!(
            "the root filesystem of {} {}",
            subject.name, subject.version
        )
        .into();
        element["comment"] = comment(bill).into();
        element["software_sbomType"] = json!(["build"]);
        element["rootElement"] = json!([self.id("root")]);
        self.put(&element)
    }

    /// The root filesystem, and the files by which it is delivered.
    fn root(&mut self, bill: &Bill) -> io::Result<()> {
        let subject = &bill.subject;
        let root = self.id("root");
        let mut element = self.element("software_Package", &root);
        element["name"] = subject.name.as_str().into();
        element["software_packageVersion"] = subject.version.as_str().into();
        element["software_primaryPurpose"] = "filesystemImage".into();
        if subject.creator.is_some() {
            element["originatedBy"] = json!([self.id("creator")]);
        }
        self.put(&element)?;
        let (artifact, artifact_sha256) = &subject.artifact;
        let sha256 =
            |digest| json!({"type": "Hash", "algorithm": "sha256", "hashValue": hex(digest)});
        let files = [
            (
                "rootfs",
                &subject.file,
                json!([sha256(&subject.sha256), sha512(&bill.sha512)]),
                "the root filesystem, as in both slots and in the Artifact",
            ),
            (
                "artifact",
                artifact,
                json!([sha256(artifact_sha256)]),
                "the Mender Artifact that installs the root filesystem",
            ),
        ];
        let ids = files.each_ref().map(|(name, ..)| self.id(name));
        for (id, (_, name, hashes, description)) in ids.iter().zip(files) {
            let mut element = self.element("software_File", id);
            element["name"] = name.as_str().into();
            element["description"] = description.into();
            element["verifiedUsing"] = hashes;
            element["software_primaryPurpose"] = "archive".into();
            element["software_additionalPurpose"] = json!(["archive", "container"]);
            self.put(&element)?;
        }
        self.relation(&root, "hasDistributionArtifact", &ids, "complete")?;
        if bill.os.id.is_empty() {
            return Ok(());
        }
        let system = self.id("operating-system");
        let mut element = self.element("software_Package", &system);
        element["name"] = bill.os.id.as_str().into();
        element["description"] = bill.os.pretty.as_str().into();
        element["software_packageVersion"] = bill.os.version_id.as_str().into();
        element["software_primaryPurpose"] = "operatingSystem".into();
        if let Some(url) = &bill.os_home {
            element["software_homePage"] = url.as_str().into();
        }
        self.put(&element)?;
        self.relation(&root, "dependsOn", &[system], "complete")
    }

    /// A package with its files, licence and dependencies.
    fn package(
        &mut self,
        bill: &Bill,
        package: &DeployedPackage,
        files: &[&DeployedFile],
    ) -> io::Result<()> {
        let id = self.package_id(package);
        let mut element = self.element("software_Package", &id);
        element["name"] = package.name.as_str().into();
        element["software_packageVersion"] = package.version.as_str().into();
        element["software_packageUrl"] = package.purl.as_str().into();
        element["externalIdentifier"] = json!([{
            "type": "ExternalIdentifier",
            "externalIdentifierType": "packageUrl",
            "identifier": package.purl,
        }]);
        let version = package.source_version.as_ref().unwrap_or(&package.version);
        element["software_sourceInfo"] = format!("built from {} {version}", package.source).into();
        if let Some(url) = &package.homepage {
            element["software_homePage"] = url.as_str().into();
        }
        if let Some(creator) = &package.creator {
            element["originatedBy"] = json!([self.agent(creator)?]);
        }
        self.put(&element)?;
        for file in files {
            self.file(file)?;
        }
        let contained: Vec<String> = files.iter().map(|file| self.file_id(file)).collect();
        let listed = if package.listed {
            "complete"
        } else {
            "noAssertion"
        };
        self.relation(&id, "contains", &contained, listed)?;
        let depends = package
            .depends
            .iter()
            .filter_map(|index| bill.packages.get(*index));
        let depends: Vec<String> = depends.map(|other| self.package_id(other)).collect();
        let resolved = if package.unresolved.is_empty() {
            "complete"
        } else {
            "incomplete"
        };
        if package.unresolved.is_empty() || !depends.is_empty() {
            self.relation(&id, "dependsOn", &depends, resolved)?;
        } else {
            let text = format!("not in the image: {}", package.unresolved.join(", "));
            let mut element = self.element("Annotation", &format!("{id}/unresolved"));
            element["annotationType"] = "other".into();
            element["subject"] = id.as_str().into();
            element["statement"] = text.into();
            self.put(&element)?;
        }
        if let Some(licence) = &package.licence {
            let expression = [self.licence(licence)?];
            self.relation(&id, "hasConcludedLicense", &expression, "complete")?;
            self.relation(&id, "hasDeclaredLicense", &expression, "complete")?;
        }
        Ok(())
    }

    /// Who maintains a package; the identifier of the element.
    fn agent(&mut self, contact: &Contact) -> io::Result<String> {
        if let Some(number) = self.agents.get(contact) {
            return Ok(self.id(&format!("agent-{number}")));
        }
        let number = self.agents.len().saturating_add(1);
        self.agents.insert(contact.clone(), number);
        let id = self.id(&format!("agent-{number}"));
        let element = self.agent_of("Agent", &id, contact, "other");
        self.put(&element)?;
        Ok(id)
    }

    fn agent_of(&self, kind: &str, id: &str, contact: &Contact, url: &str) -> Value {
        let mut element = self.element(kind, id);
        element["name"] = contact.name.as_str().into();
        let address = match (&contact.email, &contact.url) {
            (Some(email), _) => Some(("email", email)),
            (None, address) => address.as_ref().map(|address| (url, address)),
        };
        if let Some((kind, address)) = address {
            element["externalIdentifier"] = json!([{
                "type": "ExternalIdentifier",
                "externalIdentifierType": kind,
                "identifier": address,
            }]);
        }
        element
    }

    /// An expression with the texts of its own names; the identifier of the element.
    fn licence(&mut self, licence: &Licence) -> io::Result<String> {
        if let Some(number) = self.licences.get(&licence.expression) {
            return Ok(self.id(&format!("licence-{number}")));
        }
        let number = self.licences.len().saturating_add(1);
        self.licences.insert(licence.expression.clone(), number);
        let id = self.id(&format!("licence-{number}"));
        let mut custom = Vec::new();
        for (at, (name, text)) in (1..).zip(&licence.texts) {
            let id = self.id(&format!("licence-{number}/text-{at}"));
            let mut element = self.element("simplelicensing_SimpleLicensingText", &id);
            element["name"] = name.as_str().into();
            element["simplelicensing_licenseText"] = text.as_str().into();
            self.put(&element)?;
            custom.push(json!({"type": "DictionaryEntry", "key": name, "value": id}));
        }
        let mut element = self.element("simplelicensing_LicenseExpression", &id);
        element["simplelicensing_licenseExpression"] = licence.expression.as_str().into();
        element["simplelicensing_licenseListVersion"] = LICENCE_LIST.into();
        if !custom.is_empty() {
            element["simplelicensing_customIdToUri"] = custom.into();
        }
        self.put(&element)?;
        Ok(id)
    }

    fn file(&mut self, file: &DeployedFile) -> io::Result<()> {
        let mut element = self.element("software_File", &self.file_id(file));
        element["name"] = file.name().into();
        element["description"] = show(&file.path).into();
        if let Some(reason) = &file.reason {
            element["comment"] = reason.as_str().into();
        }
        element["verifiedUsing"] = json!([sha512(&file.sha512)]);
        let purpose = match (file.executable, file.archive) {
            (_, true) => "archive",
            (true, false) => "executable",
            (false, false) => "file",
        };
        element["software_primaryPurpose"] = purpose.into();
        let mut more = Vec::new();
        more.extend(file.executable.then_some("executable"));
        more.extend(file.archive.then_some("archive"));
        more.push(if file.archive {
            "container"
        } else {
            "firmware"
        });
        element["software_additionalPurpose"] = json!(more);
        self.put(&element)
    }
}

fn sha512(digest: &[u8]) -> Value {
    json!({"type": "Hash", "algorithm": "sha512", "hashValue": hex(digest)})
}

/// How the bill is to be read.
fn comment(bill: &Bill) -> String {
    let mut out = String::from(
        "software_additionalPurpose field is used to indicate the properties of BSI TR-03183-2. \
         Creator, version and licence of a file are those of the package that contains it; files \
         that the root filesystem contains by itself were brought by no package, and their licence \
         is not known. Dependencies of single files were not determined.",
    );
    for remark in &bill.remarks {
        out.push(' ');
        out.push_str(remark);
        out.push('.');
    }
    out
}
