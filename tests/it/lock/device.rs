//! A device whose packages come from a repository of the test.

use crate::support::http_server::HttpServer;
use crate::support::images::{SETTINGS, small};
use crate::support::must;
use crate::support::openpgp::Owner;
use crate::support::signed_repository::{Layout, PoolFile, write_repository};
use crate::support::unprivileged::UnprivilegedUser;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A package of the repository.
#[derive(Clone, Debug)]
pub(super) struct Member {
    name: String,
    version: String,
    architecture: String,
    fields: String,
    listed: String,
    files: Vec<(String, String)>,
}

impl Member {
    pub(super) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            fields: String::new(),
            listed: String::new(),
            files: Vec::new(),
        }
    }

    pub(super) fn architecture(mut self, name: &str) -> Self {
        name.clone_into(&mut self.architecture);
        self
    }

    /// More fields of the control file, each with its line feed.
    pub(super) fn fields(mut self, fields: &str) -> Self {
        self.fields.push_str(fields);
        self
    }

    /// Fields that the index alone has, each with its line feed.
    pub(super) fn listed(mut self, fields: &str) -> Self {
        self.listed.push_str(fields);
        self
    }

    /// Programs, relative to the root.
    pub(super) fn files(mut self, paths: &[&str]) -> Self {
        let program = |path: &&str| ((*path).to_owned(), "#!/bin/sh\nexit 0\n".to_owned());
        self.files.extend(paths.iter().map(program));
        self
    }

    /// A service.
    pub(super) fn service(mut self, name: &str) -> Self {
        let unit = format!(
            "[Unit]\nDescription={name}\n[Service]\nExecStart=/usr/bin/true\n\
             [Install]\nWantedBy=multi-user.target\n"
        );
        self.files
            .push((format!("lib/systemd/system/{name}.service"), unit));
        self
    }

    /// The package as a file, made by dpkg-deb in `dir`.
    /// Whether it is this package in a version that begins so.
    pub(super) fn is(&self, name: &str, version: &str) -> bool {
        self.name == name && self.version.starts_with(version)
    }

    pub(super) fn build(&self, dir: &Path) -> PoolFile {
        let Self {
            name,
            version,
            architecture,
            fields,
            listed,
            files,
        } = self;
        let tree = dir.join(format!("{name}_{version}_{architecture}"));
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        let control =
            format!("Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n{fields}");
        let more = "Maintainer: x <x@example.org>\nDescription: stands in for the real one\n";
        fs::write(tree.join("DEBIAN/control"), format!("{control}{more}")).unwrap();
        for (path, text) in files {
            let file = tree.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            let mode = if path.ends_with(".service") {
                0o644
            } else {
                0o755
            };
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        let deb = tree.with_extension("deb");
        must(
            "dpkg-deb",
            &[&"-Zgzip", &"--root-owner-group", &"--build", &tree, &deb],
        );
        PoolFile {
            fields: control + listed,
            filename: format!("pool/main/{name}_{version}_{architecture}.deb"),
            bytes: fs::read(deb).unwrap(),
        }
    }
}

/// An unprivileged user with a golden image, a configuration and a repository.
pub(crate) struct Device {
    user: UnprivilegedUser,
    owner: Owner,
    pool: Vec<PoolFile>,
    served: tempfile::TempDir,
    server: HttpServer,
    image: PathBuf,
    board: &'static str,
    /// The suite as the configuration has it.
    suite: String,
}

impl Device {
    /// One with `client` as its section `[client]`; `None`, said aloud, when tools are missing.
    pub(super) fn new(client: &str, members: &[Member]) -> Option<Self> {
        let image = small()?;
        let work = tempfile::tempdir().unwrap();
        let pool = members.iter().map(|one| one.build(work.path())).collect();
        let layout = Layout::default();
        let device = Self::of("qemux86-64", image, pool, &layout, &layout.suite);
        device.configure(client);
        Some(device)
    }

    /// One of a board with a golden image and a repository, which the configuration names by
    /// `suite`.
    pub(crate) fn of(
        board: &'static str,
        image: &Path,
        pool: Vec<PoolFile>,
        layout: &Layout,
        suite: &str,
    ) -> Self {
        let user = UnprivilegedUser::new();
        let served = tempfile::tempdir().unwrap();
        let device = Self {
            image: user.bring(image, "golden.img"),
            owner: Owner::new(),
            server: HttpServer::of_directory(served.path().to_owned()),
            suite: suite.to_owned(),
            board,
            pool,
            served,
            user,
        };
        device.publish(layout);
        device.give("key.asc", &device.owner.armoured());
        device
    }

    pub(crate) fn path(&self) -> &Path {
        self.user.path()
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path().join("goldsmith.lock")
    }

    /// The URL of the repository.
    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    /// The fingerprint of the repository's key.
    pub(super) fn fingerprint(&self) -> String {
        self.owner.fingerprint().to_string()
    }

    /// Takes another golden image.
    pub(crate) fn take(&mut self, image: &Path) {
        std::fs::remove_file(&self.image).unwrap();
        self.image = self.user.bring(image, "golden.img");
    }

    /// How many files the server was asked for.
    pub(super) fn requests(&self) -> usize {
        self.server.requests().len()
    }

    /// Writes the repository anew.
    pub(super) fn publish(&self, layout: &Layout) {
        write_repository(self.served.path(), &self.owner, layout, &self.pool);
    }

    /// A file in the user's directory.
    pub(crate) fn give(&self, name: &str, text: &str) {
        let file = self.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// Writes the configuration with `client` as its section `[client]`.
    pub(crate) fn configure(&self, client: &str) {
        let fingerprint = self.owner.fingerprint();
        self.configure_with(client, &fingerprint.to_string());
    }

    /// The same with another fingerprint.
    pub(super) fn configure_with(&self, client: &str, fingerprint: &str) {
        let Self { suite, board, .. } = self;
        let url = self.server.url();
        let text = format!(
            "extends = [\"{board}\"]\n[client]\nmanaged = false\n{client}\n[[repository]]\n\
             url = \"{url}\"\nsuite = \"{suite}\"\nkey = \"key.asc\"\n\
             fingerprint = \"{fingerprint}\"\n"
        );
        self.give("device.toml", &text);
    }

    /// The arguments of `plan` and `convert` with the settings that fit the image.
    pub(super) fn conversion(&self, command: &'static str) -> Vec<&'static str> {
        let mut out = vec![command, "-q", "-n", "r1", "--package-cache", "cache"];
        out.extend(SETTINGS.iter().flat_map(|setting| ["--set", setting]));
        out
    }

    /// Runs goldsmith with the configuration, and the image if `image`.
    pub(crate) fn run(&self, args: &[&str], image: bool) -> Output {
        let mut command = self.user.command(crate::support::goldsmith());
        command.args(args);
        if args.first() != Some(&"verify") {
            command.args(["-c", "device.toml"]);
        }
        if image {
            command.arg(&self.image);
        }
        command.output().unwrap()
    }

    /// The standard output of a command that must succeed.
    pub(crate) fn must(&self, args: &[&str], image: bool) -> String {
        let output = self.run(args, image);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The standard error of a command that must fail.
    pub(crate) fn fails(&self, args: &[&str], image: bool) -> String {
        let output = self.run(args, image);
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}
