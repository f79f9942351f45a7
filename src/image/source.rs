//! stub
#![allow(missing_docs)]
use crate::stream::{FileSource, Source};
#[derive(Debug)]
pub struct Input {
    pub source: Source,
    pub form: String,
}
pub struct Options<'a> {
    pub spool_dir: &'a std::path::Path,
    pub max_size: u64,
    pub report: &'a dyn crate::report::Report,
}
pub fn open(path: &std::path::Path, _o: &Options) -> std::io::Result<Input> {
    Ok(Input { source: std::sync::Arc::new(FileSource::open(path)?), form: "raw".into() })
}
impl Input {
    pub fn check_unchanged(&self) -> std::io::Result<()> {
        Ok(())
    }
}
