//! An input with a sector that cannot be read.

use super::*;

/// Converts the small image with 512 bytes at `at` unreadable into `out`; the text of the error, if
/// any.
fn with_bad_sector(small: &Path, at: u64, out: &Path) -> Option<String> {
    let settings = crate::support::images::SETTINGS
        .iter()
        .chain(&["artifact.name=r1"])
        .map(|&setting| setting.to_owned());
    let settings: Vec<String> = settings.collect();
    let config = goldsmith::config::load(&[PathBuf::from("qemux86-64")], &settings)
        .expect("a configuration");
    let request = Request {
        plan: PlanRequest {
            config: &config,
            host: HostFiles {
                disk: small,
                overlays: &[],
                preserve_layout: None,
                modes: Default::default(),
                package_cache: Path::new(""),
                epoch: Some(1),
            },
        },
        run_hooks: false,
        upgrade_from: None,
        shared: None,
        strict: false,
        report: &Silent,
    };
    let input = InputImage::of(Arc::new(Unreadable {
        inner: Arc::new(FileSource::open(small).expect("the image")),
        bad: at..at + 512,
    }));
    let options = WriteOptions {
        jobs: 2,
        verify: true,
        cache: None,
    };
    let made = convert::convert(&request, input, out, options);
    made.err()
        .map(|error| goldsmith::cli::message::render(&error))
}

#[test]
fn an_unreadable_sector_is_reported_with_its_place() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let out = scratch.path().join("out");
    const MIB: u64 = 1 << 20;
    let structures = [0, 512, 1024, MIB, ROOT.0 * MIB + 1024, ROOT.0 * MIB + 4096];
    let everywhere = (0..12).map(|step| ROOT.0 * MIB + 12_288 + step * MIB);
    let mut places = BTreeMap::<&str, usize>::new();
    for at in structures.into_iter().chain(everywhere) {
        earlier(&out);
        let Some(error) = with_bad_sector(small, at, &out) else {
            continue;
        };
        untouched(&out, &format!("a bad sector at {at}"));
        assert!(
            error.contains("Input/output error") || error.contains("os error 5"),
            "at {at}: {error}"
        );
        let known = [
            "the partition table",
            "the bytes outside the partitions",
            "partition 1",
            "of partition 2",
            "the root filesystem: reading",
            "reading the files of the golden image",
        ];
        let place = known
            .iter()
            .find(|place| error.contains(**place))
            .unwrap_or_else(|| panic!("no place: {error}"));
        *places.entry(place).or_default() += 1;
    }
    let seen: Vec<&str> = places.keys().copied().collect();
    // All files of the small image are read before anything is written, in search of private keys.
    let expected = [
        "partition 1",
        "the bytes outside the partitions",
        "the partition table",
        "the root filesystem: reading",
    ];
    assert_eq!(seen, expected, "{places:?}");
}
