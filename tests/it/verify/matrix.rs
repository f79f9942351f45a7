//! Every field of every structure of ext4, set to odd values with right checksums around it: this
//! verification is held against e2fsck and against the kernel. What differs is listed, with the
//! reason.

mod differences;
mod fields;
mod judges;
mod seal;

use super::ext4::{Image, make};
use super::verify;
use crate::support::{root, scratch};
use differences::{Class, DIFFERENCES};
use fields::Case;
use goldsmith::stream::{MemSource, Source};
use judges::Court;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Judges that work at the same time.
const COURTS: usize = 12;
/// Of so many cases, `make test` judges one; `GOLDSMITH_MATRIX=all` judges all.
const SAMPLE: usize = 16;

/// The verdicts on one damaged image.
struct Verdicts {
    ours: Option<String>,
    e2fsck: Option<String>,
    kernel: Option<String>,
}

impl Verdicts {
    /// How the verdicts differ.
    fn class(&self) -> Option<Class> {
        match (&self.ours, &self.e2fsck, &self.kernel) {
            (None, _, Some(_)) => Some(Class::MissOfKernel),
            (None, Some(_), None) => Some(Class::MissOfE2fsck),
            (Some(_), None, None) => Some(Class::OursAlone),
            _ => None,
        }
    }
}

/// The verdicts; without that of the kernel unless it is to be `asked`.
fn judge(court: &Court, bytes: Vec<u8>, asked: bool) -> Verdicts {
    let bytes: Arc<[u8]> = bytes.into();
    let source: Source = Arc::new(MemSource(bytes.to_vec().into()));
    let outcome = verify(&source);
    let first = outcome.findings.first().map(ToString::to_string);
    Verdicts {
        ours: first.filter(|_| !outcome.is_good()),
        e2fsck: court.e2fsck(&bytes),
        kernel: if asked { court.kernel(&bytes) } else { None },
    }
}

/// Judges `cases` of one image; the lines of those whose verdicts differ, by field and class.
fn differing(
    dir: &Path,
    image: &Image,
    cases: &[Case],
    asked: bool,
) -> BTreeMap<(String, Class), String> {
    let next = Mutex::new(cases.iter());
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for number in 0..COURTS {
            let (next, found) = (&next, &found);
            scope.spawn(move || {
                let Some(court) = Court::new(dir, number) else {
                    return;
                };
                loop {
                    let Some(case) = next.lock().unwrap().next() else {
                        return;
                    };
                    let verdicts = judge(&court, case.damaged(&image.bytes), asked);
                    if let Some(class) = verdicts.class() {
                        let text = format!(
                            "{case}: {class:?}\n    ours: {:?}\n    e2fsck: {:?}\n    kernel: {:?}",
                            verdicts.ours, verdicts.e2fsck, verdicts.kernel
                        );
                        found
                            .lock()
                            .unwrap()
                            .insert((case.field.clone(), class), text);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// Features of the images, and which structures are damaged.
const IMAGES: [(&str, fields::Cases); 5] = [
    ("metadata_csum", fields::common),
    (
        "^metadata_csum,^uninit_bg,^extent,^64bit",
        fields::block_maps,
    ),
    ("metadata_csum,orphan_file", fields::orphans),
    ("metadata_csum,quota,project", fields::quotas),
    // The kernel waits eleven seconds before it mounts such a filesystem.
    ("metadata_csum,mmp", fields::protection),
];

#[test]
fn verdicts_on_odd_values_agree_with_e2fsck_and_the_kernel() {
    if !root() {
        return;
    }
    let all = std::env::var_os("GOLDSMITH_MATRIX").is_some_and(|value| value == "all");
    let (mut judged, mut unknown) = (0, Vec::new());
    let mut seen = Vec::new();
    for (features, cases) in IMAGES {
        let dir = scratch();
        let Some(path) = make(dir.path(), "good", features) else {
            return;
        };
        let image = Image::new(path);
        let court = Court::new(dir.path(), 9).unwrap();
        let good = judge(&court, image.bytes.to_vec(), true);
        // Not every kernel has quotas.
        let asked = good.kernel.is_none() && (all || !features.contains("mmp"));
        if !asked {
            println!("{features}: the kernel is not asked");
        }
        assert!(
            good.ours.is_none()
                && good.e2fsck.is_none()
                && (good.kernel.is_none() || features.contains("quota")),
            "the good image: {:?} {:?} {:?}",
            good.ours,
            good.e2fsck,
            good.kernel
        );
        let cases: Vec<Case> = cases(&image)
            .into_iter()
            .enumerate()
            .filter(|(number, _)| all || number % SAMPLE == 0)
            .map(|(_, case)| case)
            .collect();
        judged += cases.len();
        for ((field, class), text) in differing(dir.path(), &image, &cases, asked) {
            match DIFFERENCES.iter().find(|known| known.is(&field, class)) {
                Some(known) => seen.push(known.reason),
                None => unknown.push(format!("[{features}] {text}")),
            }
        }
    }
    println!(
        "{judged} damaged images, {} differences that are listed",
        seen.len()
    );
    assert!(
        unknown.is_empty(),
        "{} verdicts differ for no reason that is listed\n{}",
        unknown.len(),
        unknown.join("\n")
    );
    let gone = DIFFERENCES
        .iter()
        .filter(|known| all && !seen.contains(&known.reason));
    let gone: Vec<&str> = gone.map(|known| known.reason).collect();
    assert!(
        gone.is_empty(),
        "these reasons are listed, but nothing differs: {gone:?}"
    );
}
