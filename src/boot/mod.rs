//! stub
#![allow(missing_docs)]
use crate::tree::editor::Editor;
#[derive(Debug)]
pub struct Installed {
    pub loader: String,
    pub kernels: Vec<String>,
    pub arguments: String,
    pub notes: Vec<String>,
}
pub enum Bootloader {}
pub struct Context<'a> {
    pub a: &'a str,
}
pub fn integrate(_: &mut Editor, _: &mut Editor, _: &Context) -> Result<Installed, crate::problem::Problems> {
    Ok(Installed { loader: "none".into(), kernels: vec![], arguments: String::new(), notes: vec![] })
}
