//! The update Artifact: its metadata, state scripts and signature.

use super::host::{file_name, read};
use super::trust;
use crate::artifact::{ChecksumKey, KeyError, KeyFile, Meta, Signer, SoftwareVersion, StateScript};
use crate::config::{self, Config};
use crate::problem::Problem;
use crate::stamp::Stamp;
use crate::stream::{Codec, Compression};
use std::path::PathBuf;

/// The signing key, and a note when other users can read its file.
///
/// # Errors
/// I/O errors; a file that holds no usable key.
pub(super) fn signer(config: &Config) -> Result<(Option<Signer>, Option<String>), Problem> {
    let Some(path) = &config.artifact.key else {
        return Ok((None, None));
    };
    let KeyFile { signer, exposed } = Signer::open(path).map_err(|e| {
        let problem = Problem::new(format!("reading the signing key {}: {e}", path.display()));
        let ways = match e {
            KeyError::Other { way, .. } => Some(way.to_owned()),
            KeyError::Encrypted => Some(format!(
                "take its password off a copy that nobody else can read: `openssl pkey -in {} -out artifact.key`",
                path.display()
            )),
            _ => None,
        };
        problem.hint(ways.unwrap_or_else(|| {
            "artifact.key takes the private key (PEM, RSA or ECDSA P-256, without a password), \
                 such as `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out \
                 artifact.key` makes; its public half belongs in server.verify-key"
                .to_owned()
        }))
    })?;
    // Notes are part of the record, which holds no path of the host.
    let name = file_name(path);
    let note = exposed.map(|mode| {
        format!(
            "the key {name} can be read by others (mode {mode:04o}); restrict it with chmod 600"
        )
    });
    Ok((Some(signer), note))
}

/// The metadata of the Artifact.
///
/// # Errors
/// State scripts that cannot be read; a compression level that the compressor does not have.
pub(super) fn meta(
    config: &Config,
    name: &str,
    device_types: &[String],
    stamp: &Stamp,
) -> Result<Meta, Problem> {
    let artifact = &config.artifact;
    let kind = match artifact.compression {
        config::Compression::None => Compression::None,
        config::Compression::Gzip => Compression::Gzip,
        config::Compression::Xz => Compression::Xz,
        config::Compression::Zstd => Compression::Zstd,
    };
    let level = artifact.level.filter(|_| kind != Compression::None);
    let codec =
        Codec::new(kind, level).map_err(|e| Problem::new(format!("artifact.level: {e}")))?;
    Ok(Meta {
        name: name.to_owned(),
        group: artifact.group.clone(),
        device_types: device_types.to_vec(),
        depends_names: artifact.depends_names.clone(),
        depends_groups: artifact.depends_groups.clone(),
        provides: artifact.provides.clone(),
        depends: artifact.depends.clone(),
        clears: artifact.clears.clone(),
        software: SoftwareVersion {
            filesystem: Some(artifact.software_filesystem.clone()),
            name: artifact.software_name.clone(),
            version: artifact.software_version.clone(),
            no_default_version: !artifact.default_software_version,
        },
        checksum: ChecksumKey::default(),
        no_default_clears: !artifact.default_clears,
        scripts: scripts(&artifact.scripts)?,
        payload_name: artifact.payload_name.clone(),
        codec,
        time: u64::try_from(stamp.time.seconds).unwrap_or(0),
    })
}

/// State scripts from files and directories, sorted by name.
fn scripts(paths: &[PathBuf]) -> Result<Vec<StateScript>, Problem> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |e| Problem::new(format!("reading {}: {e}", path.display()));
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(failed)? {
                files.push(entry.map_err(failed)?.path());
            }
        } else {
            files.push(path.clone());
        }
    }
    let script = |path: PathBuf| {
        let bytes = read(&path, "the state script")?;
        trust::no_private_key(&format!("the state script {}", path.display()), &bytes)?;
        Ok(StateScript {
            bytes,
            name: file_name(&path),
        })
    };
    let mut scripts = files
        .into_iter()
        .map(script)
        .collect::<Result<Vec<_>, Problem>>()?;
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scripts)
}
