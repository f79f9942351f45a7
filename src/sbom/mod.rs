//! Bills of materials and provenance: what is in the written root filesystem, and from which inputs
//! the results were made. `docs/sbom.md` says which field comes from where.
//!
//! | file | format |
//! | --- | --- |
//! | `<name>.cdx.json` | CycloneDX 1.6 (ECMA-424), with the property taxonomy `bsi:component` |
//! | `<name>.spdx3.json` | SPDX 3.0.1 in JSON-LD, profiles core, software, simpleLicensing |
//! | `<name>.provenance.json` | in-toto Statement v1 with the predicate SLSA Provenance v1 |
//!
//! Both bills are written from one [`Bill`], to the level of BSI TR-03183-2 version 2.1.0 (section
//! 5.2 and the mappings of section 8.2). Time and identifiers are those of the conversion: neither
//! a clock nor random numbers decide a byte.

#![cfg_attr(
    not(test),
    deny(
        clippy::as_conversions,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing
    )
)]

mod bill;
mod copyright;
mod cyclonedx;
mod files;
mod licence;
mod packages;
mod provenance;
mod spdx;
mod uri;

pub use bill::{Bill, Subject};
pub use copyright::{Licence, licence};
pub use cyclonedx::write as cyclonedx;
pub use files::{DeployedFile, Digest512};
pub use packages::{Contact, DeployedPackage, package_url};
pub use provenance::{Input, InputDigest, Output, Statement};
pub use spdx::write as spdx;
