//! What devices trust: that no private key reaches an output by any key of the configuration, and
//! that the ways out which messages give are ways out. The keys are made by OpenSSL, OpenSSH and
//! GnuPG.

use crate::support::images::{SETTINGS, convert, small};
use crate::support::{goldsmith, must, scratch, tool};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A script that makes keys and certificates of all kinds in the current directory.
const KEYS: &str = r#"
set -e
openssl genrsa -out key.rsa 2048
openssl rsa -in key.rsa -traditional -out key.pkcs1
openssl rsa -in key.rsa -traditional -aes128 -passout pass:secret -out key.encrypted-pkcs1
openssl pkcs8 -topk8 -in key.rsa -nocrypt -out key.pkcs8
openssl pkcs8 -topk8 -in key.rsa -passout pass:secret -out key.encrypted
openssl ecparam -name prime256v1 -genkey -out key.ec
openssl genpkey -algorithm ED25519 -out key.ed25519
openssl rsa -in key.rsa -outform DER -traditional -out key.pkcs1-der
openssl pkcs8 -topk8 -in key.rsa -nocrypt -outform DER -out key.pkcs8-der
openssl pkcs8 -topk8 -in key.rsa -passout pass:secret -outform DER -out key.encrypted-der
openssl ec -in key.ec -outform DER -out key.ec-der
openssl rsa -in key.rsa -text -noout >key.printed
openssl pkey -in key.rsa -pubout -out good.rsa
openssl pkey -in key.ec -pubout -out good.ec
{ cat good.rsa; cat key.rsa; } >key.after-public
{ cat good.rsa; openssl rsa -in key.rsa -text -noout; } >key.printed-after-public
openssl req -x509 -key key.rsa -subj /CN=a -days 1 -out good.crt
{ cat good.crt; openssl req -x509 -key key.ec -subj /CN=b -days 1; } >good-two.crt
{ cat good.crt; cat key.rsa; } >key.after-certificate
openssl pkcs12 -export -inkey key.rsa -in good.crt -passout pass:secret -out key.pkcs12
sed 's/^/  /' key.rsa >key.indented
tr '\n' '@' <key.rsa | sed 's/@/\\n/g; s/^/{"key": "/; s/$/"}/' >key.json
base64 -w0 key.rsa >key.base64
printf '\xef\xbb\xbf' | cat - key.rsa >key.bom
sed 's/$/\r/' key.rsa >key.crlf
openssl rsa -in key.rsa -RSAPublicKey_out -out other.pkcs1-public
openssl rsa -in key.rsa -RSAPublicKey_out -outform DER -out other.pkcs1-public-der
openssl pkey -in key.rsa -pubout -outform DER -out other.public-der
openssl x509 -in good.crt -outform DER -out other.certificate-der
cp good.crt other.certificate
cat good.rsa good.ec >other.two
openssl req -new -key key.rsa -subj /CN=a -out other.request
openssl pkey -in key.ed25519 -pubout -out other.ed25519
head -3 good.rsa >other.cut
echo hello >other.text
: >other.empty
"#;

/// Keys of programs that may be missing.
const MORE: [(&str, &str); 3] = [
    (
        "ssh-keygen",
        "ssh-keygen -q -t ed25519 -N '' -f key.openssh && ssh-keygen -q -t rsa -N secret -f key.openssh-encrypted && \
         mv key.openssh.pub other.ssh && rm key.openssh-encrypted.pub",
    ),
    (
        "gpg",
        "export GNUPGHOME=$PWD/gnupg; mkdir -m 700 gnupg; \
         gpg -q --batch --passphrase '' --quick-gen-key a default default never; \
         gpg -q --batch --armor --export-secret-keys >key.pgp; gpg -q --batch --export-secret-keys >key.pgp-binary; \
         gpg -q --batch --armor --export >other.pgp; cp gnupg/private-keys-v1.d/*.key key.gnupg; \
         gpgconf --kill gpg-agent; rm -r gnupg",
    ),
    (
        "keytool",
        "keytool -genkeypair -keyalg RSA -dname CN=a -storetype JKS -keystore key.jks -storepass secret \
         -keypass secret",
    ),
];

/// Makes the keys in `dir`.
fn keys(dir: &Path) {
    let make = |script: &str| {
        let output = Command::new("sh")
            .args(["-c", script])
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    make(KEYS);
    for (program, script) in MORE {
        if tool(program).is_some() {
            make(script);
        }
    }
}

/// The files in `dir` whose names begin with `start`.
fn starting(dir: &Path, start: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(start))
        .collect();
    names.sort();
    names
}

/// Plans `disk` with a configuration, from `dir`.
fn plan(dir: &Path, disk: &Path, config: &str, more: &[&str]) -> Output {
    fs::write(dir.join("device.toml"), config).unwrap();
    let mut command = Command::new(goldsmith());
    command
        .current_dir(dir)
        .args(["plan", "-c", "qemux86-64", "-c", "device.toml", "-n", "r1"]);
    for setting in SETTINGS {
        command.args(["--set", setting]);
    }
    command.args(more).arg(disk).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The commands in the hint of an error, without the words before them.
fn way_out(error: &str) -> String {
    let hint = error
        .lines()
        .find_map(|line| line.trim().strip_prefix("hint: "))
        .expect(error);
    let start = ["openssl ", "ssh-keygen ", "sed "]
        .iter()
        .filter_map(|program| hint.find(program));
    hint[start.min().expect(error)..].to_owned()
}

#[test]
fn a_verify_key_is_a_public_key_and_the_way_out_leads_to_one() {
    let (Some(small), Some(_)) = (small(), tool("openssl")) else {
        return;
    };
    let scratch = scratch();
    let dir = scratch.path();
    keys(dir);
    let tried = |name: &str| {
        plan(
            dir,
            small,
            &format!("[server]\nverify-key = [\"{name}\"]\n"),
            &[],
        )
    };
    let private = starting(dir, "key.");
    assert!(private.len() >= 20, "{private:?}");
    for name in private.iter().chain(&starting(dir, "other.")) {
        let _ = fs::remove_file(dir.join("artifact-public.pem"));
        let output = tried(name);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {error}");
        assert_eq!(
            name.starts_with("key."),
            error.contains("a private key ("),
            "{name}: {error}"
        );
        // Passwords are asked for, and the pair of the general hint is in files of its own.
        let asks = ["encrypted", "pkcs12"]
            .iter()
            .any(|word| name.contains(word));
        let two = name == "other.two";
        if asks || two {
            continue;
        }
        let command = way_out(&error);
        must("sh", &[&"-c", &format!("cd \"$0\" && {command}"), &dir]);
        let output = tried("artifact-public.pem");
        assert!(
            output.status.success(),
            "{name}: {command}: {}",
            stderr(&output)
        );
    }
    for name in starting(dir, "good.")
        .iter()
        .filter(|name| !name.ends_with("crt"))
    {
        let output = tried(name);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
    }
}

#[test]
fn a_server_certificate_is_certificates() {
    let (Some(small), Some(_)) = (small(), tool("openssl")) else {
        return;
    };
    let scratch = scratch();
    let dir = scratch.path();
    keys(dir);
    let tried = |name: &str| {
        plan(
            dir,
            small,
            &format!("[server]\ncertificate = \"{name}\"\n"),
            &[],
        )
    };
    for name in ["good.crt", "good-two.crt"] {
        let output = tried(name);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
    }
    let others = starting(dir, "other.");
    let others = others.iter().filter(|name| *name != "other.certificate");
    for name in starting(dir, "key.").iter().chain(others) {
        let output = tried(name);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{name}: {error}");
        assert!(error.contains("server.certificate: "), "{name}: {error}");
    }
    let text = fs::read_to_string(dir.join("good.crt")).unwrap();
    let middle = text.len() / 2;
    fs::write(
        dir.join("damaged.crt"),
        format!("{}{}", &text[..middle], &text[middle + 4..]),
    )
    .unwrap();
    let error = stderr(&tried("damaged.crt"));
    assert!(
        error.contains("block 1 is not an X.509 certificate"),
        "{error}"
    );
    let command = way_out(&stderr(&tried("key.after-certificate")));
    must("sh", &[&"-c", &format!("cd \"$0\" && {command}"), &dir]);
    assert!(tried("server.pem").status.success());
}

/// A configuration that copies a private key into an output, its error, and the path of the file if
/// it can be accepted.
type Case = (&'static str, &'static str, Option<&'static str>);

const CASES: [Case; 9] = [
    (
        "[rootfs]\noverlays = [\"root\"]\n",
        "/etc/a.conf holds a private key",
        Some("/etc/a.conf"),
    ),
    (
        "[[overlay]]\ndir = \"root\"\n",
        "/etc/a.conf holds a private key",
        Some("/etc/a.conf"),
    ),
    (
        "[[overlay]]\ndir = \"boot\"\ntarget = \"boot\"\n",
        "/boot/efi/a.txt holds a private key",
        Some("/boot/efi/a.txt"),
    ),
    (
        "[data]\noverlay = [\"data\"]\n",
        "/data/app/a.bin holds a private key",
        Some("/data/app/a.bin"),
    ),
    (
        "[artifact]\nscripts = [\"scripts\"]\n",
        "ArtifactInstall_Enter_10 holds a private key",
        None,
    ),
    (
        "[[raw]]\nfile = \"key.ec\"\noffset = \"32 KiB\"\n",
        "raw: ",
        None,
    ),
    (
        "[hooks]\nbefore-edits = [\"hook-edit\"]\n",
        "/etc/hooked holds a private key",
        Some("/etc/hooked"),
    ),
    (
        "[hooks]\nafter-edits = [\"hook-edit\"]\n",
        "/etc/hooked holds a private key",
        Some("/etc/hooked"),
    ),
    (
        "[hooks]\nafter-image = [\"hook-out\"]\n",
        "staged hooked, which holds a private key",
        None,
    ),
];

/// Puts a private key wherever [`CASES`] take a file from.
fn plant(dir: &Path) {
    for (directory, name) in [
        ("root/etc", "a.conf"),
        ("boot", "a.txt"),
        ("data/app", "a.bin"),
        ("scripts", "ArtifactInstall_Enter_10"),
    ] {
        fs::create_dir_all(dir.join(directory)).unwrap();
        fs::copy(dir.join("key.ec"), dir.join(directory).join(name)).unwrap();
    }
    for (name, to) in [("hook-edit", "rootfs/etc"), ("hook-out", "output")] {
        let text = format!(
            "#!/bin/sh\nto=\"$GOLDSMITH_STAGING/{to}\"\nmkdir -p \"$to\"\n\
             cp \"${{0%/*}}/key.ec\" \"$to/hooked\"\n"
        );
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Every key of the configuration that copies a file into an output.
#[test]
fn no_key_of_the_configuration_ships_a_private_key() {
    let (Some(small), Some(_)) = (small(), tool("openssl")) else {
        return;
    };
    let scratch = scratch();
    let dir = scratch.path();
    keys(dir);
    plant(dir);
    let out = dir.join("out");
    let attempt = |config: &str| {
        fs::write(dir.join("device.toml"), config).unwrap();
        let mut command = convert(small, &out);
        command.current_dir(dir).args(["-c", "device.toml"]);
        command.output().unwrap()
    };
    for (config, message, path) in CASES {
        let output = attempt(config);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{config}: {error}");
        assert!(error.contains(message), "{config}: {error}");
        let written = fs::read_dir(&out).map_or(0, Iterator::count);
        assert_eq!(written, 0, "{config}");
        if !config.starts_with("[hooks]") {
            let planned = plan(dir, small, config, &[]);
            assert_eq!(planned.status.code(), Some(1), "{config}");
        }
        let Some(path) = path else { continue };
        // As the hint says.
        let (_, entry) = error.split_once("accept it:").expect(&error);
        assert!(
            entry.contains("[[accept]]") && entry.contains(path),
            "{error}"
        );
        let lines: Vec<&str> = entry.trim_start().lines().take(3).map(str::trim).collect();
        let output = attempt(&format!("{config}{}\n", lines.join("\n")));
        assert!(output.status.success(), "{config}: {}", stderr(&output));
        fs::remove_dir_all(&out).unwrap();
    }
}

/// The key that signs must not be on devices at all, accepted or not.
#[test]
fn the_signing_key_is_never_shipped() {
    let (Some(small), Some(_)) = (small(), tool("openssl")) else {
        return;
    };
    let scratch = scratch();
    let dir = scratch.path();
    keys(dir);
    fs::create_dir_all(dir.join("root/etc")).unwrap();
    fs::copy(dir.join("key.pkcs8"), dir.join("root/etc/a.key")).unwrap();
    let config = "[rootfs]\noverlays = [\"root\"]\n[artifact]\nkey = \"key.pkcs1\"\n\
                  [[accept]]\nfile = \"/etc/a.key\"\nreason = \"x\"\n";
    let output = plan(dir, small, config, &[]);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("/etc/a.key holds the key that signs Artifacts"),
        "{error}"
    );
}

#[test]
fn a_signature_that_devices_refuse_is_a_warning() {
    let (Some(small), Some(_)) = (small(), tool("openssl")) else {
        return;
    };
    let scratch = scratch();
    let dir = scratch.path();
    keys(dir);
    let said = |config: &str, more: &[&str]| {
        let output = plan(dir, small, config, more);
        (output.status.code(), stderr(&output))
    };
    let good =
        "[server]\nverify-key = [\"good.ec\", \"good.rsa\"]\n[artifact]\nkey = \"key.rsa\"\n";
    // The image has no client, which is a warning too.
    let (_, error) = said(good, &["--strict"]);
    assert!(!error.contains("signature"), "{error}");
    assert_eq!(said(good, &[]).0, Some(0));
    let (_, error) = said("[server]\nverify-key = [\"good.ec\"]\n", &[]);
    assert!(error.contains("this one is not signed"), "{error}");
    fs::create_dir_all(dir.join("root/etc/mender")).unwrap();
    fs::copy(dir.join("good.ec"), dir.join("root/etc/mender/k.pem")).unwrap();
    fs::write(
        dir.join("root/etc/mender/mender.conf"),
        "{\"ArtifactVerifyKey\": \"/etc/mender/k.pem\", \"ServerURL\": \"https://a\"}",
    )
    .unwrap();
    for (config, expected) in [
        (
            "[server]\nverify-key = [\"good.ec\"]\n[artifact]\nkey = \"key.rsa\"\n",
            "whose public half is none of the 1 that devices check signatures with",
        ),
        (
            "[rootfs]\noverlays = [\"root\"]\n[artifact]\nkey = \"key.rsa\"\n",
            "whose public half is none of the 1",
        ),
    ] {
        let (code, error) = said(config, &[]);
        assert_eq!(code, Some(0), "{error}");
        assert!(
            error.contains("warning: ") && error.contains(expected),
            "{error}"
        );
        let (code, error) = said(config, &["--strict"]);
        assert_eq!(code, Some(1), "{error}");
        assert!(
            error.contains("error: ") && error.contains(expected),
            "{error}"
        );
    }
}

/// The record of a conversion holds the keys of its devices, so that the next release is held
/// against them before anything is written.
#[test]
fn a_release_that_devices_refuse_for_its_signature_is_refused_by_plan() {
    let (Some(small), Some(_)) = (small(), tool("openssl")) else {
        return;
    };
    let scratch = scratch();
    let dir = scratch.path();
    keys(dir);
    let settings = |key: &str| {
        format!("[server]\nverify-key = [\"good.{key}\"]\n[artifact]\nkey = \"key.{key}\"\n")
    };
    fs::write(dir.join("first.toml"), settings("ec")).unwrap();
    let out = dir.join("out");
    let mut command = Command::new(goldsmith());
    command
        .current_dir(dir)
        .args(["convert", "-c", "qemux86-64"]);
    command.args(["-c", "first.toml", "-n", "r0", "--output-dir", "out"]);
    for setting in SETTINGS.iter().chain(&["output.name=first"]) {
        command.args(["--set", setting]);
    }
    let output = command.arg(small).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let record = out.join("first.json");
    let said: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let public = fs::read_to_string(dir.join("good.ec")).unwrap();
    assert_eq!(said["family"]["verify_keys"], serde_json::json!([public]));
    let next = |key: &str| {
        let record = record.to_str().unwrap();
        let output = plan(dir, small, &settings(key), &["--upgrade-from", record]);
        (output.status.code(), stderr(&output))
    };
    let (code, error) = next("rsa");
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("signed with another key") && error.contains("field-signature"),
        "{error}"
    );
    let (code, error) = next("ec");
    assert_eq!(code, Some(0), "{error}");
}

/// `verify` knows nothing of the configuration: it finds the keys in the image.
#[test]
fn verification_finds_private_keys() {
    let (Some(small), Some(_)) = (small(), tool("openssl")) else {
        return;
    };
    let scratch = scratch();
    let dir = scratch.path();
    keys(dir);
    fs::create_dir_all(dir.join("root/etc")).unwrap();
    fs::copy(dir.join("key.ec"), dir.join("root/etc/a.key")).unwrap();
    let out = dir.join("out");
    let config =
        "[rootfs]\noverlays = [\"root\"]\n[[accept]]\nfile = \"/etc/a.key\"\nreason = \"x\"\n";
    fs::write(dir.join("device.toml"), config).unwrap();
    let mut command = convert(small, &out);
    command
        .args(["-s", "output.name=r1", "-c"])
        .arg(dir.join("device.toml"));
    assert!(command.output().unwrap().status.success());
    let verify = |more: &[&std::ffi::OsStr]| {
        let mut command = Command::new(goldsmith());
        command.arg("verify").args(more).arg(out.join("r1.img"));
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (code, said) = verify(&[]);
    assert_eq!(
        (code, said.contains("private-key")),
        (Some(0), false),
        "{said}"
    );
    // The same image, had nobody accepted the key.
    let image = fs::read(out.join("r1.img")).unwrap();
    let line = b"/etc/a.key\tx\n";
    let mut forged = image.clone();
    let places: Vec<usize> = image
        .windows(line.len())
        .enumerate()
        .filter(|(_, window)| window == line)
        .map(|(at, _)| at)
        .collect();
    assert!(places.len() >= 2, "{places:?}");
    for at in places {
        forged[at + 5] = b'b';
    }
    fs::write(out.join("r1.img"), forged).unwrap();
    let (_, said) = verify(&[]);
    assert!(
        said.contains("warning[private-key]: partition 2, /etc/a.key: "),
        "{said}"
    );
    let (_, said) = verify(&["--golden".as_ref(), small.as_os_str()]);
    assert!(
        said.contains("error[private-key]: partition 2, /etc/a.key: "),
        "{said}"
    );
}
