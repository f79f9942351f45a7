//! The update client's configuration and identity, split between the root filesystem (replaced by
//! updates) and the data partition (kept).

use crate::bundle::{self, Bundle};
use crate::edit::system::{link_to_data, move_below};
use crate::golden::facts;
use crate::plan::client::ClientPlan;
use crate::plan::family::{Family, Role};
use crate::problem::Problem;
use crate::tree::edit::EditError;
use crate::tree::editor::{Action, TreeEditor};
use crate::tree::{Tree, show};
use serde_json::{Map, Value};

const CONF: &str = "/etc/mender/mender.conf";
/// On the data partition; the client reads it first, and [`CONF`] overrides it.
const FALLBACK: &str = "/mender/mender.conf";
/// The keys that name a server; a configuration has one of them.
const SERVER_KEYS: [&str; 2] = ["ServerURL", "Servers"];
const LIMIT: u64 = 1 << 20;

/// The configuration of the update client.
#[derive(Clone, Debug)]
pub struct Client<'a> {
    /// Identities of the partitions.
    pub family: &'a Family,
    /// The device type of the device itself.
    pub device_type: &'a str,
    /// The name of the release, for `artifact_info`.
    pub artifact_name: &'a str,
    /// The Artifact's group; `None` if it has none.
    pub artifact_group: Option<&'a str>,
    /// Its settings, the files that these name, and whether a server manages it.
    pub settings: &'a ClientPlan,
    /// Whether the image has a client.
    pub exists: bool,
}

/// Writes everything that Go (3.x) and C++ (4.x, 5.x) clients read. Returns notes.
///
/// # Errors
/// A [`Problem`] when files of the image cannot be merged.
pub fn integrate(
    editor: &mut TreeEditor,
    data: &mut TreeEditor,
    client: &Client,
) -> Result<Vec<String>, Problem> {
    let failed = |e: EditError| Problem::new(format!("configuring the update client: {e}"));
    // The configuration may be in a directory that becomes a link: links first, so that its content
    // moves along.
    for name in bundle::state_dirs() {
        link_to_data(
            editor,
            &format!("/var/lib/{name}"),
            &format!("/data/{name}"),
            data,
            &format!("/{name}"),
        )
        .map_err(failed)?;
    }
    // What is written below comes over what the image has for the data partition.
    let (from, reason) = ("/data/mender", "moved to the data partition");
    move_below(editor, from, data, "/mender", reason).map_err(failed)?;
    main_conf(editor, data, client)?;
    module(editor.tree())?;
    identity(editor, data, client).map_err(failed)?;
    let mut notes = Vec::new();
    if client.settings.managed {
        scripts(editor, &mut notes).map_err(failed)?;
        notes.extend(no_server(editor.tree()));
    }
    if !client.exists {
        // What else it would need is said once it is there.
        notes = vec![
            "the image contains no update client: install one in the golden image, or set client.bundle or client.packages"
                .to_owned(),
        ];
    }
    ordering(editor).map_err(failed)?;
    Ok(notes)
}

/// A configuration file of the client; `None` if the tree does not have it.
fn settings(editor: &TreeEditor, path: &str) -> Result<Option<Map<String, Value>>, Problem> {
    let broken = |e: &dyn std::fmt::Display| {
        Problem::new(format!("{path} of the image is not a JSON object: {e}"))
            .hint("correct the file, or remove it and set the values under [server]")
    };
    let bytes = editor.read(path, LIMIT).map_err(|e| broken(&e))?;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes).map_err(|e| broken(&e)))
        .transpose()
}

/// Writes `/etc/mender/mender.conf`: the settings of the image, overridden by the configuration,
/// without the keys that belong on the data partition. Settings of the image's fallback file, which
/// is replaced by that of the data partition, are added with the lowest precedence.
fn main_conf(editor: &mut TreeEditor, data: &TreeEditor, client: &Client) -> Result<(), Problem> {
    let old = settings(editor, CONF)?;
    let mut conf = settings(data, FALLBACK)?.unwrap_or_default();
    if old.as_ref().is_some_and(names_server) {
        conf.retain(|key, _| !SERVER_KEYS.contains(&key.as_str()));
    }
    conf.extend(old.clone().unwrap_or_default());
    if client.settings.settings.contains_key("ServerURL") {
        conf.remove("Servers");
    }
    // Clients refuse a configuration that has both.
    let keys = ["ArtifactVerifyKey", "ArtifactVerifyKeys"];
    if keys
        .iter()
        .any(|key| client.settings.settings.contains_key(*key))
    {
        conf.retain(|key, _| !keys.contains(&key.as_str()));
    }
    conf.extend(client.settings.settings.clone());
    for key in ["RootfsPartA", "RootfsPartB"] {
        conf.remove(key);
    }
    token(&conf, client)?;
    if let Some(bundle) = installed(editor.tree()) {
        tier(&conf, bundle)?;
        retry(&mut conf, bundle, client);
    }
    let failed = |e: EditError| Problem::new(format!("writing {CONF}: {e}"));
    let reason = "settings of the update client";
    editor.dir("/etc/mender", 0o755, reason).map_err(failed)?;
    for file in &client.settings.files {
        editor
            .file(
                &file.path,
                file.bytes.clone(),
                file.mode,
                "named by the configuration of the update client",
            )
            .map_err(failed)?;
    }
    if conf.is_empty() && old.is_none() {
        return Ok(());
    }
    if old.as_ref() != Some(&conf) {
        let text = serde_json::to_string_pretty(&conf)
            .map_err(|e| Problem::new(format!("writing {CONF}: {e}")))?;
        editor
            .rewrite(CONF, format!("{text}\n"), 0o600, reason)
            .map_err(failed)?;
    }
    // It may contain the tenant token.
    let real = editor
        .tree()
        .walk(CONF.as_bytes(), true)
        .map_err(|e| failed(e.into()))?
        .path();
    if let Some(stat) = editor
        .tree_mut()
        .stat_mut(&real)
        .filter(|stat| stat.mode & 0o177 != 0)
    {
        stat.mode &= 0o600;
        editor.record(real, Action::Changed, "it may hold the tenant's token");
    }
    Ok(())
}

/// Sets the time after which a managed client repeats a request that failed, where it is not set
/// and its own default is not sound.
fn retry(conf: &mut Map<String, Value>, bundle: &Bundle, client: &Client) {
    let sound = bundle.client.retry_seconds;
    if let Some(seconds) = sound.filter(|_| client.settings.managed) {
        let value = conf.entry("RetryPollIntervalSeconds");
        value.or_insert_with(|| seconds.into());
    }
}

/// Refuses a `DeviceTier` that the client does not know, or with which it does not install root
/// filesystems.
///
/// # Errors
/// The value, and those that it may have.
fn tier(conf: &Map<String, Value>, bundle: &Bundle) -> Result<(), Problem> {
    let known = &bundle.client.device_tiers;
    let Some(value) = conf.get("DeviceTier").filter(|_| !known.is_empty()) else {
        return Ok(());
    };
    let text = value.as_str().map(str::to_owned);
    let without = bundle.client.tier_without_rootfs.as_ref();
    let what = if text.as_ref().is_none_or(|text| !known.contains(text)) {
        format!("which is none of {}", known.join(", "))
    } else if text.as_ref() == without {
        "with which devices do not install Artifacts of root filesystems".to_owned()
    } else {
        return Ok(());
    };
    let name = &bundle.name;
    Err(Problem::new(format!(
        "{CONF} has the DeviceTier {value} for the client of the bundle {name}, {what}"
    ))
    .hint("set DeviceTier to \"standard\" in the image, or remove it"))
}

/// Refuses a placeholder for the tenant token, such as the sentence that the client's setup leaves:
/// the server refuses every device that has it.
///
/// # Errors
/// Such a text, and where it comes from.
fn token(conf: &Map<String, Value>, client: &Client) -> Result<(), Problem> {
    let token = conf.get("TenantToken").and_then(Value::as_str);
    let placeholder = token
        .is_some_and(|token| token.contains(|c: char| c.is_whitespace() || "<>\"".contains(c)));
    if !placeholder {
        return Ok(());
    }
    let configured = client.settings.settings.contains_key("TenantToken");
    let (place, way) = if configured {
        (
            "server.tenant-token",
            "set it to the token of your organization",
        )
    } else {
        (
            "the TenantToken of /etc/mender/mender.conf",
            "set server.tenant-token to the token of your organization, or remove it from the file if \
             your server needs none",
        )
    };
    let message = format!("{place} is not a token but a placeholder: a token has no blanks");
    Err(Problem::new(message).hint(way))
}

/// Refuses a client of 4.0 or later without the module that installs root filesystems.
///
/// # Errors
/// Its path, and where a diversion has moved it.
fn module(tree: &Tree) -> Result<(), Problem> {
    let needed = bundle::bundles().iter().find_map(|bundle| {
        let program = bundle.client.programs.first()?;
        let module = bundle.client.rootfs_module.as_ref()?;
        (tree.file(program).is_some() && tree.file(module).is_none()).then_some(module)
    });
    let Some(module) = needed else {
        return Ok(());
    };
    let diverted = format!("{module}.distrib");
    let why = if tree.file(&diverted).is_some() {
        format!("a diversion has moved it to {diverted}")
    } else {
        "it is missing".to_owned()
    };
    Err(Problem::new(format!(
        "the update client cannot install root filesystems: {module}: {why}"
    ))
    .hint(
        "install all packages of the client (mender-client4 and those that it needs), or add the file by \
         an [[overlay]]",
    ))
}

/// The files of the public keys that the client checks Artifacts with, as far as they exist.
#[must_use]
pub fn verify_keys(root: &Tree, data: &Tree) -> Vec<Vec<u8>> {
    let bytes = root.read(CONF, LIMIT).ok().flatten().unwrap_or_default();
    let conf: Map<String, Value> = serde_json::from_slice(&bytes).unwrap_or_default();
    let one = conf.get("ArtifactVerifyKey").into_iter();
    let many = conf.get("ArtifactVerifyKeys").and_then(Value::as_array);
    let paths = one
        .chain(many.into_iter().flatten())
        .filter_map(Value::as_str);
    let file = |path: &str| match path.strip_prefix("/data/") {
        Some(below) => data.read(format!("/{below}"), LIMIT).ok().flatten(),
        None => root.read(path, LIMIT).ok().flatten(),
    };
    paths.filter_map(file).collect()
}

/// A note about a managed client without a server, which would wait forever.
fn no_server(root: &Tree) -> Option<String> {
    let bytes = root.read(CONF, LIMIT).ok().flatten().unwrap_or_default();
    let named =
        serde_json::from_slice::<Map<String, Value>>(&bytes).is_ok_and(|conf| names_server(&conf));
    (!named).then(|| {
        "the update client is managed but has no server: set server.url, or client.managed = false to install updates by commands"
            .to_owned()
    })
}

/// Whether the settings name a server, in the form for one or for several.
fn names_server(conf: &Map<String, Value>) -> bool {
    let full = |value: Option<&Value>| {
        value
            .and_then(Value::as_str)
            .is_some_and(|url| !url.is_empty())
    };
    let listed = conf.get("Servers").and_then(Value::as_array);
    full(conf.get("ServerURL"))
        || listed.is_some_and(|servers| servers.iter().any(|server| full(server.get("ServerURL"))))
}

fn identity(
    editor: &mut TreeEditor,
    data: &mut TreeEditor,
    client: &Client,
) -> Result<(), EditError> {
    let parts = format!(
        "{{\n    \"RootfsPartA\" : \"{}\",\n    \"RootfsPartB\" : \"{}\"\n}}\n",
        client.family.path(Role::RootA),
        client.family.path(Role::RootB)
    );
    data.file(FALLBACK, parts, 0o600, "the partitions that updates go to")?;
    data.file(
        "/mender/device_type",
        format!("device_type={}\n", client.device_type),
        0o444,
        "the device's type",
    )?;
    let group = client
        .artifact_group
        .map(|group| format!("artifact_group={group}\n"))
        .unwrap_or_default();
    let info = format!("artifact_name={}\n{group}", client.artifact_name);
    editor.rewrite(
        "/etc/mender/artifact_info",
        info,
        0o644,
        "the name of this release",
    )?;
    if editor.tree().file("/etc/mender/scripts/version").is_none() {
        editor.file(
            "/etc/mender/scripts/version",
            "3",
            0o644,
            "the version of state scripts",
        )?;
    }
    Ok(())
}

/// Adds programs that a managed client calls and that Debian's package does not install.
fn scripts(editor: &mut TreeEditor, notes: &mut Vec<String>) -> Result<(), EditError> {
    let reason = "a managed client needs it and its package has none";
    let newest = bundle::bundles().last();
    let client = installed(editor.tree())
        .or(newest)
        .map(|bundle| &bundle.client);
    let Some(client) = client else {
        return Ok(());
    };
    let identity = &client.identity;
    if editor.tree().find_nofollow(identity).is_none() {
        editor.file(
            identity,
            include_str!("../../configs/device/common/mender-device-identity.sh"),
            0o755,
            reason,
        )?;
        notes.push(format!(
            "{identity}: device identity: MAC address of the first network interface"
        ));
    }
    let has_inventory = editor
        .tree()
        .dir(&client.inventory)
        .is_some_and(|dir| !dir.entries.is_empty());
    if !has_inventory {
        let inventory = format!("{}/mender-inventory-system", client.inventory);
        editor.file(
            inventory,
            include_str!("../../configs/device/common/mender-inventory-system.sh"),
            0o755,
            reason,
        )?;
    }
    Ok(())
}

/// The bundle of the client in the image; `None` if no package tells it.
fn installed(tree: &Tree) -> Option<&'static Bundle> {
    let (_, version) = facts::client(tree).ok().flatten()?;
    bundle::of_client(version.parse().ok()?)
}

/// Makes the client's units start after `/data` is mounted.
fn ordering(editor: &mut TreeEditor) -> Result<(), EditError> {
    for unit in bundle::services() {
        let dirs = [
            "/lib/systemd/system",
            "/usr/lib/systemd/system",
            "/etc/systemd/system",
        ];
        if dirs.iter().any(|dir| {
            editor
                .tree()
                .file(format!("{dir}/{unit}.service"))
                .is_some()
        }) {
            let path = format!("/etc/systemd/system/{unit}.service.d/10-data.conf");
            editor.file(
                path,
                "[Unit]\nRequiresMountsFor=/data\n",
                0o644,
                "the client starts after its data is mounted",
            )?;
        }
    }
    Ok(())
}

/// The programs of the update client in the image; none if it has no client.
#[must_use]
pub fn client_programs(tree: &Tree) -> Vec<String> {
    let programs = bundle::programs().into_iter();
    programs
        .filter(|path| tree.file(path).is_some())
        .map(|path| show(path.as_bytes()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::client::WithoutClient;
    use crate::plan::family::{Naming, PartitionSet};
    use crate::platform::TableKind;
    use crate::stamp::{Stamp, Time};
    use crate::tree::Stat;

    const MODULE: &str = "/usr/share/mender/modules/v3/rootfs-image";

    /// The notes and the main configuration after integration into an image that has `conf`.
    fn integrated(
        conf: Option<&str>,
        settings: &[(&str, &str)],
        managed: bool,
    ) -> (Vec<String>, Option<String>) {
        let files: Vec<(&str, &str)> = conf.map(|conf| (CONF, conf)).into_iter().collect();
        integrated_into(&files, settings, managed)
    }

    /// The same for an image with these files.
    fn integrated_into(
        files: &[(&str, &str)],
        settings: &[(&str, &str)],
        managed: bool,
    ) -> (Vec<String>, Option<String>) {
        tried(files, settings, managed).unwrap()
    }

    /// The same, or what is wrong.
    fn tried(
        files: &[(&str, &str)],
        settings: &[(&str, &str)],
        managed: bool,
    ) -> Result<(Vec<String>, Option<String>), Problem> {
        let (time, stat) = (Time::default(), Stat::root(0o644, Time::default()));
        let (mut root, mut data) = (
            Tree::new(Stat::root(0o755, time)),
            Tree::new(Stat::root(0o755, time)),
        );
        for (path, text) in files {
            root.put_file(path, text.as_bytes().to_vec(), stat.clone())
                .unwrap();
        }
        let family = Family::derive(
            &Stamp {
                time,
                family: "board".into(),
            },
            TableKind::Gpt,
            Naming::Partuuid,
            PartitionSet::OneBoot,
        );
        let plan = ClientPlan {
            managed,
            without: WithoutClient::Refused,
            settings: settings
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).into()))
                .collect(),
            files: Vec::new(),
        };
        let client = Client {
            exists: true,
            family: &family,
            device_type: "board",
            artifact_name: "release-1",
            artifact_group: None,
            settings: &plan,
        };
        let (mut editor, mut target) = (
            TreeEditor::new(&mut root, time),
            TreeEditor::new(&mut data, time),
        );
        let notes = integrate(&mut editor, &mut target, &client)?;
        drop((editor, target));
        let conf = root.read(CONF, LIMIT).unwrap();
        let conf = conf.map(|bytes| String::from_utf8(bytes).unwrap());
        Ok((notes, conf))
    }

    #[test]
    fn a_placeholder_is_not_a_token() {
        let placeholder = "Paste your Hosted Mender token here";
        let text = format!(r#"{{"TenantToken": "{placeholder}"}}"#);
        let files = [(CONF, text.as_str())];
        let problem = tried(&files, &[], true).unwrap_err();
        assert!(
            problem.message.starts_with("the TenantToken of"),
            "{problem}"
        );
        assert!(!problem.to_string().contains("Paste"), "{problem}");
        assert!(tried(&files, &[("TenantToken", "eyJ.a-b_c.d")], true).is_ok());
        let problem = tried(&[], &[("TenantToken", placeholder)], true).unwrap_err();
        assert!(
            problem.message.starts_with("server.tenant-token"),
            "{problem}"
        );
    }

    /// A dpkg database with this version of the client.
    fn database(version: &str) -> String {
        format!("Package: mender-update\nStatus: install ok installed\nVersion: {version}\n")
    }

    #[test]
    fn a_client_whose_own_default_is_not_sound_gets_a_time_to_retry() {
        let retry = |files: &[(&str, &str)], settings: &[(&str, &str)], managed| {
            let conf = integrated_into(files, settings, managed).1?;
            let conf: Map<String, Value> = serde_json::from_str(&conf).unwrap();
            conf.get("RetryPollIntervalSeconds").cloned()
        };
        let client = database("5.0.2-1+debian+bookworm");
        let mut files = vec![
            ("/var/lib/dpkg/status", client.as_str()),
            (CONF, "{\"ServerURL\": \"https://a\"}"),
        ];
        assert_eq!(retry(&files, &[], true), Some(300.into()));
        assert_eq!(retry(&files, &[], false), None);
        assert_eq!(retry(&files[1..], &[], true), None);
        files[1].1 = "{\"ServerURL\": \"https://a\", \"RetryPollIntervalSeconds\": 60}";
        assert_eq!(retry(&files, &[], true), Some(60.into()));
    }

    #[test]
    fn a_tier_without_root_filesystems_is_refused() {
        let refused = |version: &str, tier: &str| {
            let conf = format!("{{\"ServerURL\": \"https://a\", \"DeviceTier\": \"{tier}\"}}");
            let client = database(version);
            let files = [("/var/lib/dpkg/status", client.as_str()), (CONF, &conf)];
            tried(&files, &[], true)
                .err()
                .map(|problem| problem.message)
        };
        assert_eq!(refused("5.1.0-1", "standard"), None);
        let message = refused("5.1.0-1", "system").unwrap();
        assert!(message.contains("do not install Artifacts"), "{message}");
        let message = refused("5.1.0-1", "large").unwrap();
        assert!(
            message.contains("none of standard, system, micro"),
            "{message}"
        );
        // It has no such setting, and ignores it.
        assert_eq!(refused("5.0.0-1", "system"), None);
    }

    #[test]
    fn a_client_needs_its_module() {
        let program = ("/usr/bin/mender-update", "");
        let problem = tried(&[program], &[], true).unwrap_err();
        assert!(
            problem.message.ends_with("rootfs-image: it is missing"),
            "{problem}"
        );
        let diverted = format!("{MODULE}.distrib");
        let problem = tried(&[program, (&diverted, "")], &[], true).unwrap_err();
        assert!(
            problem.message.contains("a diversion has moved it"),
            "{problem}"
        );
        assert!(tried(&[program, (MODULE, "")], &[], true).is_ok());
        assert!(tried(&[("/usr/bin/mender", "")], &[], true).is_ok());
    }

    #[test]
    fn a_managed_client_without_a_server_is_told_of() {
        let told = |conf, settings: &[(&str, &str)], managed| {
            integrated(conf, settings, managed)
                .0
                .iter()
                .any(|note| note.contains("has no server"))
        };
        assert!(told(None, &[], true));
        assert!(told(Some(r#"{"ServerURL": "", "Servers": []}"#), &[], true));
        assert!(!told(None, &[], false));
        assert!(!told(None, &[("ServerURL", "https://a")], true));
        assert!(!told(Some(r#"{"ServerURL": "https://a"}"#), &[], true));
        assert!(!told(
            Some(r#"{"Servers": [{"ServerURL": "https://a"}]}"#),
            &[],
            true
        ));
    }

    #[test]
    fn settings_win_over_the_image_and_the_rest_stays() {
        let old = r#"{"Servers": [{"ServerURL": "https://old"}], "RootfsPartA": "/dev/sda1", "UpdateLogPath": "/data/log"}"#;
        let (_, conf) = integrated(Some(old), &[("ServerURL", "https://new")], true);
        let conf: Map<String, Value> = serde_json::from_str(&conf.unwrap()).unwrap();
        assert_eq!(
            Value::Object(conf),
            serde_json::json!({"UpdateLogPath": "/data/log", "ServerURL": "https://new"})
        );
    }

    #[test]
    fn settings_of_the_fallback_file_come_along() {
        let fallback = (
            "/var/lib/mender/mender.conf",
            r#"{"ServerURL": "https://a", "RootfsPartA": "/dev/sda2", "RetryPollCount": 3}"#,
        );
        let conf = |files: &[(&str, &str)]| -> Value {
            serde_json::from_str(&integrated_into(files, &[], true).1.unwrap()).unwrap()
        };
        assert_eq!(
            conf(&[fallback]),
            serde_json::json!({"ServerURL": "https://a", "RetryPollCount": 3})
        );
        let main = (CONF, r#"{"Servers": [{"ServerURL": "https://b"}]}"#);
        assert_eq!(
            conf(&[fallback, main]),
            serde_json::json!({"Servers": [{"ServerURL": "https://b"}], "RetryPollCount": 3})
        );
    }
}
