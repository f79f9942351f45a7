//! goldsmith converts the disk image of one hand-configured Debian system into an A/B image to
//! flash and a Mender Artifact to update with.
//!
//! Data flows one way: *golden image -> plan -> edits -> layout -> outputs*. The modules are listed
//! from the ground up; each may use those of the floors below it and nothing else, except where
//! `tests/it/house/arrows.rs`, which checks this, says so.
//!
//! # The main path
//!
//! Read an image, decide, convert. [`convert::prepare`] stops before anything is written;
//! [`convert::convert`] goes on, verifies the results and publishes them.
//!
//! ```no_run
//! use goldsmith::convert::{self, Request, WriteOptions};
//! use goldsmith::image::source::{self, OpenOptions};
//! use goldsmith::plan::{PlanRequest, host::HostFiles};
//! use goldsmith::report::Silent;
//! use std::{path::Path, sync::Arc};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let image = Path::new("golden.img");
//! let config = goldsmith::config::load_over(
//!     &[],
//!     &["qemux86-64".into(), "./device.toml".into()],
//!     &["artifact.name=\"release-1\"".to_owned()],
//! )?;
//! let request = Request {
//!     plan: PlanRequest {
//!         config: &config,
//!         host: HostFiles {
//!             disk: image,
//!             overlays: &[],
//!             preserve_layout: None,
//!             modes: Arc::default(),
//!             package_cache: Path::new("packages"),
//!             epoch: None,
//!         },
//!     },
//!     run_hooks: false,
//!     upgrade_from: None,
//!     strict: false,
//!     shared: None,
//!     report: &Silent,
//! };
//! let open = || {
//!     let options = OpenOptions {
//!         spool_dir: Path::new("deploy"),
//!         max_size: 64 << 30,
//!         report: &Silent,
//!         threads: 4,
//!     };
//!     source::open(image, &options)
//! };
//!
//! // What would be done: the plan, every edit with its reason, and the layout of the disk.
//! let prepared = convert::prepare(&request, open()?)?;
//! println!("{}: {:?}", prepared.plan.name, prepared.layout);
//!
//! let options = WriteOptions {
//!     jobs: 4,
//!     verify: true,
//!     cache: None,
//! };
//! let conversion = convert::convert(&request, open()?, Path::new("deploy"), options)?;
//! for file in &conversion.files {
//!     println!("{}", file.display());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What an image contains, without converting it, is [`golden::Golden::read`]; whether a finished
//! one is sound, [`verify::image`].

// Ground: the standard library and codecs.
pub mod bytes;
pub mod digest;
pub mod input_file;
pub mod nearest;
pub mod pattern;
pub mod platform;
pub mod problem;
pub mod report;
pub mod side_by_side;
pub mod stamp;
pub mod stream;
pub mod text_diff;
pub mod units;

// Model: the files of a filesystem as a value.
pub mod tree;

// Formats: bytes to values and back.
pub mod artifact;
pub mod bundle;
pub mod compress;
pub mod config;
pub mod deb;
pub mod fs;
pub mod image;
pub mod keyfile;
pub mod mender_convert;
pub mod repository;
pub mod shell;

// A configuration from those of another converter.
pub mod migrate;

// Facts and decisions: values to values.
pub mod golden;
pub mod init;
pub mod lock;
pub mod plan;
pub mod resolve;
pub mod rules;

// Edits: a plan applied to trees.
pub mod boot;
pub mod dpkg;
pub mod edit;

// Outputs: written, checked and published; verified; flashed; the golden image examined; many
// conversions in one run.
pub mod compare;
pub mod convert;
pub mod doctor;
pub mod emulate;
pub mod flash;
pub mod fleet;
pub mod sbom;
pub mod verify;
pub mod volume;

// Command line: parses, prints, exits.
pub mod cli;
