//! A conversion of a small golden image, called as the commands do.

use super::{Conversion, Record, Request, WriteOptions, convert, prepare, prepare_read, write};
use crate::config::Config;
use crate::golden::Golden;
use crate::golden::example_tests::{self, Example};
use crate::image::source::InputImage;
use crate::plan::PlanRequest;
use crate::plan::host::HostFiles;
use crate::report::Silent;
use crate::units::MIB;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const SMALL: &str = "[artifact]\nname = \"r1\"\n\
                     [storage]\nsize = \"96 MiB\"\nalignment = \"1 MiB\"\n\
                     [boot]\nsize = \"8 MiB\"\n[data]\nsize = \"16 MiB\"\n\
                     [client]\nrequired = false\n[output]\nname = \"small\"\nrootfs = true\n";

fn config(more: &str) -> Config {
    Config::parse(&format!("{SMALL}{more}")).unwrap()
}

fn request<'a>(config: &'a Config, upgrade_from: Option<&'a Value>) -> Request<'a> {
    Request {
        plan: PlanRequest {
            config,
            host: HostFiles {
                disk: Path::new("/somewhere/golden.img"),
                overlays: &[],
                preserve_layout: None,
                modes: Default::default(),
                package_cache: Path::new(""),
                epoch: None,
            },
        },
        run_hooks: false,
        upgrade_from: upgrade_from.map(|record| (Path::new("old.json"), record)),
        shared: None,
        strict: false,
        report: &Silent,
    }
}

fn input() -> InputImage {
    InputImage::of(Example::new().source())
}

/// The record of a plan, and the error of preparing it.
fn record(more: &str, upgrade_from: Option<&Value>) -> Result<Value, String> {
    let config = config(more);
    let prepared = prepare(&request(&config, upgrade_from), input());
    let prepared = prepared.map_err(|error| format!("{error:#}"))?;
    Ok(serde_json::to_value(Record::new(&prepared)).unwrap())
}

/// The error of preparing a conversion; without the value, which is long, if there is none.
fn refusal(config: &Config) -> String {
    let prepared = prepare(&request(config, None), input()).map(|_| ());
    prepared.unwrap_err().to_string()
}

fn converted(more: &str, dir: &Path, jobs: usize) -> Conversion {
    let config = config(more);
    let options = WriteOptions {
        jobs,
        verify: true,
        cache: None,
    };
    convert(&request(&config, None), input(), dir, options).unwrap()
}

/// The names of files, sorted.
fn names(files: &[PathBuf]) -> Vec<&str> {
    let names = files.iter().filter_map(|path| path.file_name()?.to_str());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn a_plan_has_no_digests_and_no_outputs() {
    let record = record("", None).unwrap();
    assert_eq!(record["format"], 1);
    assert_eq!(record["input"]["file"], "golden.img");
    assert_eq!(record["input"]["root_partition"], 2);
    assert_eq!(record["device_types"], json!(["generic-x86-64"]));
    assert_eq!(record["root"].get("sha256"), None);
    assert_eq!(record.get("outputs"), None);
    let start = |number: usize| record["disk"]["partitions"][number]["start"].clone();
    assert_eq!([start(0), start(1)], [json!(MIB), json!(9 * MIB)]);
    assert_eq!(
        record["family"]["slots"][0],
        json!(format!(
            "/dev/disk/by-partuuid/{}",
            record["disk"]["partitions"][1]["partuuid"]
                .as_str()
                .unwrap()
        ))
    );
}

#[test]
fn a_release_fits_devices_of_its_own_family_only() {
    let mut old = record("", None).unwrap();
    let error = record("", Some(&old)).unwrap_err();
    assert!(error.contains("has the name r1 too"), "{error}");
    old["artifact_name"] = json!("r0");
    assert!(record("", Some(&old)).is_ok());
    let error = record("[board]\ndevice-type = \"another\"\n", Some(&old)).unwrap_err();
    assert!(error.starts_with("comparing with old.json: "), "{error}");
    let error = record(
        "[storage.ids]\nroot-a = \"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b02\"\n",
        Some(&old),
    );
    assert!(error.unwrap_err().contains("comparing with old.json"));
}

#[test]
fn all_warnings_are_shown_at_once_where_they_are_errors() {
    let mut old = record("", None).unwrap();
    old["artifact_name"] = json!("r0");
    // The release before had a file on the data partition that this one has not.
    let edits = old["edits"].as_array_mut().unwrap();
    edits.push(json!({"filesystem": "data", "action": "added", "path": "/gone", "reason": "x"}));
    let more = "[[accept]]\nfile = \"/no/such\"\nreason = \"x\"\n\n[[client.accept]]\npackage = \"none\"\nscript = \"postinst\"\nreason = \"x\"\n";
    let config = config(more);
    let mut request = request(&config, Some(&old));
    request.strict = true;
    let error = prepare(&request, input())
        .map(|_| ())
        .unwrap_err()
        .to_string();
    for text in [
        "[[accept]] file = \"/no/such\" has no effect",
        "[[client.accept]] number 1 (package none, script postinst) has no effect",
        "(check client-missing)",
    ] {
        assert!(error.contains(text), "{text} is not in\n{error}");
    }
    request.strict = false;
    assert!(prepare(&request, input()).is_ok());
}

#[test]
fn what_a_start_runs_is_recorded_with_its_place() {
    let mut root = example_tests::root();
    let rule = "# x \\\nSUBSYSTEM==\"input\", RUN+=\"/sbin/reboot\"\n";
    example_tests::add(&mut root, "/etc/udev/rules.d/9.rules", rule.as_bytes());
    let mut example = Example::new();
    example.partitions[1].1 = example_tests::ext(&root);
    let config = config("");
    let planned = prepare(&request(&config, None), InputImage::of(example.source())).unwrap();
    let record = serde_json::to_value(Record::new(&planned)).unwrap();
    let found = record["startup"].as_array().unwrap();
    let found = found
        .iter()
        .find(|one| one["file"] == "/etc/udev/rules.d/9.rules");
    let found = found.unwrap();
    assert_eq!(found["line"], 2);
    assert!(record["notes"].as_array().unwrap().contains(&found["note"]));
}

/// The golden example with a packaged client.
fn with_client(version: &str) -> Example {
    let status = format!(
        "Package: mender-client\nStatus: install ok installed\nArchitecture: amd64\n\
         Maintainer: a <a@b>\nDescription: a client\nVersion: {version}\n"
    );
    let mut root = example_tests::root();
    example_tests::add(&mut root, "/var/lib/dpkg/status", status.as_bytes());
    let mut example = Example::new();
    example.partitions[1].1 = example_tests::ext(&root);
    example
}

#[test]
fn records_hold_what_the_files_say_about_later_updates() {
    let config = config("");
    let source = || InputImage::of(with_client("3.4.0+ds1-4").source());
    let planned = prepare(&request(&config, None), source()).unwrap();
    let planned = serde_json::to_value(Record::new(&planned)).unwrap();
    assert_eq!(planned["family"]["client"], "3.4.0+ds1-4");
    let dir = tempfile::tempdir().unwrap();
    let options = WriteOptions {
        jobs: 1,
        verify: false,
        cache: None,
    };
    let converted = convert(&request(&config, None), source(), dir.path(), options).unwrap();
    let converted = serde_json::to_value(&converted.record).unwrap();
    assert_eq!(converted["family"], planned["family"]);
}

#[test]
fn warnings_about_the_earlier_release_are_errors_when_asked() {
    let mut old = record("", None).unwrap();
    old["artifact_name"] = json!("r0");
    old["family"]["data_dirs"] = json!(["/data/srv"]);
    let config = config("");
    let mut asked = request(&config, Some(&old));
    assert!(prepare(&asked, input()).is_ok());
    asked.strict = true;
    // An image without a clock is a warning.
    let mut root = example_tests::root();
    example_tests::add(&mut root, "/usr/sbin/chronyd", b"x");
    let mut example = Example::new();
    example.partitions[1].1 = example_tests::ext(&root);
    // Without the checks of the image, which has no client: that is a warning too.
    let input = InputImage::of(example.source());
    let golden = Golden::read(input, asked.plan.selection(), asked.report).unwrap();
    let prepared = prepare_read(&asked, golden, false);
    let error = prepared.map(|_| ()).unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("keep files in /data/srv") && error.contains("field-data-unused"),
        "{error}"
    );
}

#[test]
fn an_artifact_that_the_client_of_the_image_cannot_read_is_refused() {
    let refused = |version: &str, compression: &str| {
        let example = with_client(version);
        let artifact = format!("name = \"r1\"\ncompression = \"{compression}\"\n");
        let config = Config::parse(&SMALL.replace("name = \"r1\"\n", &artifact)).unwrap();
        let input = InputImage::of(example.source());
        let prepared = prepare(&request(&config, None), input).map(|_| ());
        prepared.err().map(|error| error.to_string())
    };
    let error = refused("3.4.0+ds1-4", "zstd").unwrap();
    assert!(
        error.starts_with("mender-client 3.4.0+ds1-4 of the image cannot read the Artifact"),
        "{error}"
    );
    assert!(
        error.contains("hint: set artifact.compression to"),
        "{error}"
    );
    assert_eq!(refused("3.4.0+ds1-4", "xz"), None);
    assert_eq!(refused("3.5.1-1", "zstd"), None);
}

#[test]
fn sizes_that_do_not_fit_name_those_that_do() {
    let config = Config::parse(&SMALL.replace("96 MiB", "28 MiB")).unwrap();
    let error = refusal(&config);
    assert!(
        error.contains("raise `storage.size` to at least"),
        "{error}"
    );
    let config = Config::parse(&SMALL.replace("\"16 MiB\"", "\"1 MiB\"")).unwrap();
    let error = refusal(&config);
    assert!(
        error.starts_with("data.size is 1 MiB but its files need"),
        "{error}"
    );
}

#[test]
fn blobs_may_not_overlap_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let loader = dir.path().join("loader.bin");
    fs::write(&loader, [1; 100]).unwrap();
    let raw = |offset: &str| format!("[[raw]]\nfile = {loader:?}\noffset = \"{offset}\"\n");
    let error = record(&raw("8 KiB"), None).unwrap_err();
    assert!(
        error.starts_with("raw: loader.bin at bytes 8192 to 8291 overlaps the partition table at"),
        "{error}"
    );
    let record = record(&raw("32 KiB"), None).unwrap();
    assert_eq!(record["disk"]["raw"][0]["offset"], 32768);
}

#[test]
fn results_are_written_checked_and_published_together() {
    let dir = tempfile::tempdir().unwrap();
    let conversion = converted("", dir.path(), 1);
    let expected = [
        "small.img",
        "small.img.bmap",
        "small.mender",
        "small.ext4",
        "small.json",
    ];
    let mut found = names(&conversion.files);
    found.sort_unstable();
    let mut sorted = expected;
    sorted.sort_unstable();
    assert_eq!(found, sorted);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), expected.len());
    let image = fs::read(dir.path().join("small.img")).unwrap();
    let root = fs::read(dir.path().join("small.ext4")).unwrap();
    let partitions = &conversion.record.disk.partitions;
    for slot in &partitions[1..3] {
        let start = usize::try_from(slot.start).unwrap();
        assert!(image[start..start + root.len()] == root, "{}", slot.role);
    }
    let text = fs::read_to_string(dir.path().join("small.json")).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["outputs"].as_array().unwrap().len(), 4);
    assert_eq!(record["root"]["sha256"], record["outputs"][3]["sha256"]);
}

#[test]
fn threads_and_forms_change_no_byte_of_the_root_filesystem() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    converted("", dirs[0].path(), 1);
    converted("", dirs[1].path(), 3);
    converted("image = \"gz\"\nbmap = false\n", dirs[2].path(), 2);
    let read = |dir: usize, name: &str| fs::read(dirs[dir].path().join(name)).unwrap();
    for name in ["small.img", "small.mender", "small.json"] {
        assert!(read(0, name) == read(1, name), "{name}");
    }
    assert!(read(0, "small.ext4") == read(2, "small.ext4"));
    assert!(read(0, "small.mender") == read(2, "small.mender"));
}

#[test]
fn the_golden_image_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.img");
    let source = Example::new().source();
    let mut bytes = vec![0; usize::try_from(source.len()).unwrap()];
    source.read_exact_at(0, &mut bytes).unwrap();
    fs::write(&path, &bytes).unwrap();
    let options = crate::image::source::OpenOptions {
        spool_dir: dir.path(),
        max_size: 1 << 30,
        threads: 1,
        report: &Silent,
    };
    let input = crate::image::source::open(&path, &options).unwrap();
    let config = config("");
    let options = WriteOptions {
        jobs: 1,
        verify: false,
        cache: None,
    };
    let error = convert(&request(&config, None), input, dir.path(), options).unwrap_err();
    assert!(
        error.to_string().contains("would replace the golden image"),
        "{error}"
    );
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_plan_knows_that_the_output_directory_cannot_be_used() {
    let config = config("");
    let prepared = prepare(&request(&config, None), input()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = prepared.check_outputs(&file).unwrap_err().to_string();
    assert!(error.contains("cannot be used: not a directory"), "{error}");
    // One that is not there can be made elsewhere.
    let warning = prepared.check_outputs(&file.join("deploy")).unwrap();
    assert!(warning.unwrap().contains("cannot be used: not a directory"));
    let warning = prepared.check_outputs(&dir.path().join("deploy")).unwrap();
    assert_eq!(warning, None);
}

/// Keeps the warnings.
#[derive(Default)]
struct Warned(std::sync::Mutex<Vec<String>>);

impl crate::report::Report for Warned {
    fn step(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
    fn note(&self, _: &str) {}
}

/// What the edits warn of is not said again by the checks, which find it too.
#[test]
fn a_warning_is_given_once() {
    let mut root = example_tests::root();
    example_tests::add(
        &mut root,
        "/etc/sysctl.d/9.conf",
        b"# ours\nkernel.panic = 0\n",
    );
    let mut example = Example::new();
    example.partitions[1].1 = example_tests::ext(&root);
    let config = config("");
    let warned = Warned::default();
    let mut asked = request(&config, None);
    asked.report = &warned;
    prepare(&asked, InputImage::of(example.source())).unwrap();
    let all = warned.0.lock().unwrap();
    let about: Vec<&String> = all.iter().filter(|one| one.contains("9.conf")).collect();
    assert!(
        matches!(about.as_slice(), [one] if one.starts_with("/etc/sysctl.d/9.conf:2: kernel.panic = 0")),
        "{about:?}"
    );
}

#[test]
fn what_was_judged_is_what_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let overlay = dir.path().join("overlay");
    let file = overlay.join("etc/app.conf");
    fs::create_dir_all(overlay.join("etc")).unwrap();
    let options = WriteOptions {
        jobs: 2,
        verify: true,
        cache: None,
    };
    for image in ["gz", "xz", "none"] {
        fs::write(&file, "before\n").unwrap();
        let more = format!("image = \"{image}\"\n[rootfs]\noverlays = [{overlay:?}]\n");
        let config = config(&more);
        let request = request(&config, None);
        let prepared = || prepare(&request, input()).unwrap();
        let write = |prepared| write::write(prepared, dir.path(), options, &request);
        let written = write(prepared()).unwrap();
        let judged = written.prepared.judged.as_ref().unwrap();
        assert!(judged.is_written(), "{image}");
        // As long as before.
        let prepared = prepared();
        fs::write(&file, "after!\n").unwrap();
        let error = write(prepared).err().unwrap();
        let error = format!("{error:#}");
        assert!(error.contains("are not those that were checked"), "{error}");
    }
}
