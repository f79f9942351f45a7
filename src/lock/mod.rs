//! Packages from repositories: what the configuration asks for, the choice among what there is, and
//! the lock file that keeps it.
//!
//! ```text
//! lock:   configuration ─> LockRequest ┐
//!         golden image  ─> packages ───┼─> choose ─> LockFile      repository, resolve
//!         repositories  ─> indices ────┘
//! fetch:  LockFile ─> package cache                                repository
//! plan:   LockFile + package cache ─> packages to install
//! ```
//!
//! Only [`choose`] is given a network, by its caller.

mod choose;
mod file;
mod image;
mod request;

pub use choose::{LockInputs, Locked, choose, system};
pub use file::{LockFile, LockedPackage, LockedRepository};
pub use request::{KeyLocation, LockRequest, RepositoryByUrl, RepositoryRequest, RequestRecord};
