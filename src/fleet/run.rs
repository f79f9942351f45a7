//! Converts the targets of a fleet with one set of threads.
//!
//! Targets are grouped by their golden image, which is opened and read once. The first of a group
//! has all threads; the others run next to each other with a share of them each. What is the same
//! in several of them is done by the first that needs it: packages are installed once for each
//! different set, the start of a root filesystem that another target has is copied from its files,
//! other chunks are compressed once, bytes of the golden image are searched and hashed for the
//! block map once. The bytes of a target never depend on the others: what they share is what each
//! would make itself.

use crate::compress::cache::Cache;
use crate::config::{Config, FleetTarget};
use crate::convert::{self, Conversion, Request, SharedWork, WriteOptions, read_record};
use crate::golden::{Golden, Selection};
use crate::image::source::InputImage;
use crate::plan::host::HostFiles;
use crate::plan::{self, PlanRequest, file_layout};
use crate::report::Report;
use anyhow::Result;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Most targets at once: each has the trees of its filesystems in memory.
const AT_ONCE: usize = 8;

/// Opens the golden image of a target.
pub type OpenImage<'a> =
    dyn Fn(&FleetTarget, &Config, &dyn Report) -> Result<InputImage> + Sync + 'a;

/// Opens the cache that a configuration asks for, the same for equal ones.
pub type OpenCache<'a> = dyn Fn(&Config) -> Result<Arc<Cache>> + Sync + 'a;

/// How the targets of a fleet are converted.
pub struct FleetRun<'a> {
    /// Threads of all targets together, at least 1.
    pub jobs: usize,
    /// Whether results must pass all checks of `verify`.
    pub verify: bool,
    /// Whether warnings are errors.
    pub strict: bool,
    /// The frames that targets share.
    pub cache: &'a OpenCache<'a>,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<i64>,
    /// The package cache for a configuration.
    pub package_cache: &'a (dyn Fn(&Config) -> Result<PathBuf> + Sync),
    /// Opens golden images.
    pub open: &'a OpenImage<'a>,
    /// The report of the target with this name.
    pub report: &'a (dyn Fn(&str) -> Box<dyn Report> + Sync),
}

/// What became of a target; several may have failed for one reason.
pub type Outcome = Result<Conversion, Arc<anyhow::Error>>;

/// A target with its configuration.
struct Loaded<'t> {
    /// The position among all targets.
    number: usize,
    target: &'t FleetTarget,
    config: Config,
}

impl Loaded<'_> {
    /// Where the golden image is, and what is read of it.
    fn golden(&self) -> (PathBuf, Selection) {
        let image = &self.target.golden_image;
        let image = image.canonicalize().unwrap_or_else(|_| image.clone());
        (image, plan::selection(&self.config))
    }
}

/// What targets of one golden image share.
struct SharedGolden {
    golden: Golden,
    work: SharedWork,
}

/// Converts all targets. One that fails does not stop the others: the outcomes are in the order of
/// the targets.
#[must_use]
pub fn convert(targets: &[FleetTarget], run: &FleetRun<'_>) -> Vec<Outcome> {
    let outcomes = Outcomes(Mutex::new(targets.iter().map(|_| None).collect()));
    let mut loaded = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        match target.load() {
            Ok(config) => loaded.push(Loaded {
                number,
                target,
                config,
            }),
            Err(error) => outcomes.fail(number, Arc::new(error.0.into())),
        }
    }
    for group in split(loaded, Loaded::golden) {
        run.convert_group(group, &outcomes);
    }
    outcomes.all()
}

/// The outcomes so far, in the order of the targets.
struct Outcomes(Mutex<Vec<Option<Outcome>>>);

impl Outcomes {
    fn put(&self, number: usize, outcome: Outcome) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = all.get_mut(number) {
            *slot = Some(outcome);
        }
    }

    fn fail(&self, number: usize, error: Arc<anyhow::Error>) {
        self.put(number, Err(error));
    }

    fn all(self) -> Vec<Outcome> {
        let all = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let missing = || Err(Arc::new(anyhow::anyhow!("the target was not converted")));
        let outcomes = all.into_iter();
        outcomes.map(|one| one.unwrap_or_else(missing)).collect()
    }
}

/// The items in groups of equal keys, in the order of their first ones.
fn split<T, K: PartialEq>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for item in items {
        let key = key(&item);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

impl FleetRun<'_> {
    /// Converts targets of one golden image.
    fn convert_group(&self, group: Vec<Loaded<'_>>, outcomes: &Outcomes) {
        let Some(golden) = self.read(&group, outcomes) else {
            return;
        };
        let shared = SharedGolden {
            golden,
            work: SharedWork::default(),
        };
        let mut rest = VecDeque::from(group);
        // The first one has all threads; the others then take most of it.
        if let Some(first) = rest.pop_front() {
            let outcome = self.convert_one(&first, &shared, self.jobs);
            outcomes.put(first.number, outcome);
        }
        let at_once = self.jobs.min(rest.len()).clamp(1, AT_ONCE);
        let jobs = self.jobs.div_euclid(at_once).max(1);
        let rest = Mutex::new(rest);
        let next = || {
            rest.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
        };
        std::thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    while let Some(one) = next() {
                        let outcome = self.convert_one(&one, &shared, jobs);
                        outcomes.put(one.number, outcome);
                    }
                });
            }
        });
    }

    /// Reads the golden image of a group; if that is not possible, all of its targets have failed.
    fn read(&self, group: &[Loaded<'_>], outcomes: &Outcomes) -> Option<Golden> {
        let first = group.first()?;
        let report = (self.report)(&first.target.name);
        // The limit of an unpacked image is that of the target that allows most.
        let largest = group.iter().max_by_key(|one| one.config.storage.size)?;
        let image = (self.open)(first.target, &largest.config, &*report);
        let selection = plan::selection(&first.config);
        let golden = image.and_then(|image| Golden::read(image, selection, &*report));
        let error = match golden {
            Ok(golden) => return Some(golden),
            Err(error) => Arc::new(error),
        };
        for one in group {
            outcomes.fail(one.number, Arc::clone(&error));
        }
        None
    }

    fn convert_one(&self, one: &Loaded<'_>, shared: &SharedGolden, jobs: usize) -> Outcome {
        let report = (self.report)(&one.target.name);
        self.request(one, &shared.work, &*report, |request| {
            let cache = (self.cache)(&one.config)?;
            let options = WriteOptions {
                jobs,
                verify: self.verify,
                cache: Some(&cache),
            };
            let golden = shared.golden.clone();
            convert::convert_golden(request, golden, &one.target.output_dir, options)
        })
        .map_err(Arc::new)
    }

    /// Calls `convert` with the request for a target.
    fn request<T>(
        &self,
        one: &Loaded<'_>,
        shared: &SharedWork,
        report: &dyn Report,
        convert: impl FnOnce(&Request<'_>) -> Result<T>,
    ) -> Result<T> {
        let Loaded { target, config, .. } = one;
        let package_cache = (self.package_cache)(config)?;
        let layout = target.preserve_layout.as_deref().map(file_layout::read);
        let earlier = target.upgrade_from.as_deref();
        let earlier = earlier
            .map(|path| read_record(path).map(|record| (path, record)))
            .transpose()?;
        convert(&Request {
            plan: PlanRequest {
                config,
                host: HostFiles {
                    disk: &target.golden_image,
                    overlays: &target.overlay,
                    preserve_layout: layout.transpose()?.map(Arc::new),
                    modes: Arc::default(),
                    package_cache: &package_cache,
                    epoch: self.epoch,
                },
            },
            run_hooks: true,
            upgrade_from: earlier.as_ref().map(|(path, record)| (*path, record)),
            shared: Some(shared),
            strict: self.strict,
            report,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_the_order_of_their_first_ones() {
        let groups = split(vec![3, 1, 4, 1, 5, 9, 2, 6], |number| number % 3);
        assert_eq!(groups, [vec![3, 9, 6], vec![1, 4, 1], vec![5, 2]]);
    }
}
