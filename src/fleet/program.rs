//! The program of actions, which must run where there is nothing else.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

use crate::input_file;
use crate::problem::Problem;
use std::io::Read as _;
use std::path::Path;

/// Bytes of a program that its program headers are in.
const HEAD: u64 = 4096;
/// The type of the program header that names a dynamic loader (`PT_INTERP` of the ELF
/// specification).
const INTERPRETER: u64 = 3;

/// Fails if the program needs a dynamic loader and libraries, which an action does not have.
///
/// # Errors
/// That, or I/O errors.
pub fn check(path: &Path) -> Result<(), Problem> {
    let shown = path.display();
    let failed = |e| Problem::new(format!("reading {shown}: {e}"));
    let mut head = Vec::new();
    let file = input_file::open(path).map_err(failed)?;
    file.take(HEAD).read_to_end(&mut head).map_err(failed)?;
    match is_dynamic(&head) {
        Some(false) => Ok(()),
        Some(true) => Err(Problem::new(format!(
            "{shown} needs shared libraries, which an action does not have"
        ))
        .hint("build it with `make build`, and name the result with --program")),
        None => Err(Problem::new(format!("{shown} is not a program of Linux"))),
    }
}

/// Whether an ELF file that begins with `head` names a dynamic loader; `None` if it is not one.
fn is_dynamic(head: &[u8]) -> Option<bool> {
    let number = |at: usize, len: usize| -> Option<u64> {
        let bytes = head.get(at..at.checked_add(len)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte)),
        )
    };
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    // The second byte after the magic number is 2 for 64 bits, the third 1 for little endian.
    let wide = head.get(4) == Some(&2);
    if head.get(5) != Some(&1) {
        return None;
    }
    let (start, size, count) = match wide {
        true => (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?),
        false => (number(0x1C, 4)?, number(0x2A, 2)?, number(0x2C, 2)?),
    };
    for index in 0..count {
        let at = start.checked_add(index.checked_mul(size)?)?;
        if number(usize::try_from(at).ok()?, 4)? == INTERPRETER {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
#[allow(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    /// A program whose headers have these types.
    fn program(wide: bool, types: &[u8]) -> Vec<u8> {
        let mut out = vec![0; 64];
        out[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', if wide { 2 } else { 1 }, 1]);
        let (start, size, count) = if wide {
            (0x20, 0x36, 0x38)
        } else {
            (0x1C, 0x2A, 0x2C)
        };
        out[start] = 64;
        out[size] = 32;
        out[count] = types.len() as u8;
        for kind in types {
            out.extend([*kind, 0, 0, 0]);
            out.extend([0; 28]);
        }
        out
    }

    #[test]
    fn a_loader_is_found() {
        for wide in [true, false] {
            assert_eq!(is_dynamic(&program(wide, &[6, 1, 1])), Some(false));
            assert_eq!(is_dynamic(&program(wide, &[6, 3, 1])), Some(true));
            assert_eq!(is_dynamic(&program(wide, &[6, 1])[..98]), None);
        }
        assert_eq!(is_dynamic(b"#!/bin/sh"), None);
        let myself = std::env::current_exe().unwrap();
        let head = std::fs::read(&myself).unwrap();
        assert!(is_dynamic(&head[..4096]).is_some());
    }
}
