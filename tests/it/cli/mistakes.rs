//! Mistakes that people make, each with the text that helps: what is wrong, where, and the way out.

use super::messages::{on, refused, workplace};
use crate::support::{must, tool};
use std::ffi::OsStr;
use std::fs;

fn case(line: impl Into<String>, text: &str) -> (String, String) {
    (line.into(), text.to_owned())
}

#[test]
fn words_of_other_programs() {
    let Some(dir) = workplace() else { return };
    let command = |word: &str, meant: &str| {
        case(
            format!("{word} golden.img"),
            &format!(
                "error: `{word}` is not a command of goldsmith\nhint: did you mean `goldsmith {meant}`?\n"
            ),
        )
    };
    let option = |line: &str, name: &str, ours: &str| {
        case(
            line,
            &format!("error: there is no option {name}\nhint: write {ours}\n"),
        )
    };
    let cases = [
        command("build", "convert"),
        command("create", "convert"),
        command("dry-run", "plan"),
        command("info", "inspect"),
        command("validate", "verify"),
        command("burn", "flash"),
        command("download", "fetch"),
        command("upgrade", "lock"),
        command("new", "init"),
        command("golden.img", "convert golden.img"),
        option(
            "convert --name x golden.img",
            "--name",
            "-n NAME (--artifact-name)",
        ),
        option(
            "convert --output=x golden.img",
            "--output",
            "-o DIR (--output-dir)",
        ),
        option(
            "convert --disk-image golden.img",
            "--disk-image",
            "the image as the last argument",
        ),
        option(
            "convert --size 8G golden.img",
            "--size",
            "-s storage.size=\"8 GiB\"",
        ),
        option(
            "convert --dry-run golden.img",
            "--dry-run",
            "the command `plan`",
        ),
        option(
            "convert --board x golden.img",
            "--board",
            "-c BOARD; `goldsmith boards` lists them",
        ),
    ];
    refused(dir.path(), 2, &cases);
}

#[test]
fn configurations_that_are_something_else() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let other = |name: &str, place: &str, form: &str| {
        case(
            on(&format!("-c {name}")),
            &format!(
                "error: {name}:{place}\nhint: this looks like {form}; a configuration is TOML: a line `[storage]`, \
                 and below it `size = \"8 GiB\"` (docs/configuration.md)\n"
            ),
        )
    };
    for (name, text) in [
        ("a.yaml", "# a device\nstorage:\n  size: 8 GiB\n"),
        ("b.yaml", "---\nstorage: {}\n"),
        ("a.json", "{\n  \"storage\": {}\n}\n"),
        ("a.sh", "#!/bin/sh\nexport SIZE=8\n"),
        ("a.xml", "<storage size=\"8 GiB\"/>\n"),
        ("one.toml", "[overlay]\ntarget = \"boot\"\n"),
        (
            "device_config",
            "MENDER_DEVICE_TYPE=a\nif true; then X=1; fi\n",
        ),
    ] {
        fs::write(at.join(name), text).unwrap();
    }
    let cases = [
        other("a.yaml", "2:9: key with no value, expected `=`", "YAML"),
        other("b.yaml", "1:4: key with no value, expected `=`", "YAML"),
        other(
            "a.json",
            "1:1: invalid key-value pair, expected key",
            "JSON",
        ),
        other("a.sh", "2:8: key with no value, expected `=`", "a script"),
        other("a.xml", "1:10: key with no value, expected `=`", "XML"),
        case(
            on("-c one.toml"),
            "error: one.toml:1:1: overlay: expected tables (`[[overlay]]`), found a table\n\
             hint: write `[[overlay]]`, with two brackets: there may be several\n",
        ),
        case(
            on("-c device_config"),
            "error: device_config:2:4: key with no value, expected `=`\nhint: this is a configuration of \
             mender-convert: convert it with `goldsmith migrate device_config`\n",
        ),
    ];
    refused(at, 1, &cases);
}

#[test]
fn units_in_other_letters() {
    let Some(dir) = workplace() else { return };
    let unit = |unit: &str, meant: &str| {
        case(
            on(&format!("-s storage.size=8{unit}")),
            &format!(
                "error: --set storage.size: `{unit}` is not a unit of size (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB): \
                 did you mean {meant}?\n"
            ),
        )
    };
    let cases = [
        unit("GIB", "GiB"),
        unit("g", "GiB"),
        unit("gib", "GiB"),
        unit("gb", "GB"),
        unit("Mb", "MB"),
        unit("mbytes", "MB"),
        unit("gigabytes", "GB"),
        unit("mebibyte", "MiB"),
    ];
    refused(dir.path(), 1, &cases);
}

#[test]
fn packages_that_are_none() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::create_dir(at.join("client.deb")).unwrap();
    fs::write(at.join("page.deb"), "<!DOCTYPE html>").unwrap();
    fs::write(at.join("x.deb"), "x").unwrap();
    let cases = [
        case(
            on("-s client.packages=client.deb"),
            "error: the package client.deb is a directory\nhint: name the files in it: \"client.deb/*.deb\"\n",
        ),
        case(
            on("-s client.packages=page.deb"),
            "error: reading page.deb: not an ar archive: the magic `!<arch>` is missing\n",
        ),
        case(
            on("-s client.packages=x.deb"),
            "error: reading x.deb: not an ar archive: the magic `!<arch>` is missing\n",
        ),
    ];
    refused(at, 1, &cases);
}

/// A file that is no signing key: the message and the way out.
fn key(name: &str, what: &str, way: &str) -> (String, String) {
    case(
        on(&format!("-s artifact.key={name}")),
        &format!("error: reading the signing key {name}: {what}\nhint: {way}\n"),
    )
}

const NEW_KEY: &str = "make one that can be used: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out artifact.key`";

#[test]
fn keys_in_other_forms() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    let armour = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    for (name, text) in [
        ("ssh", armour("OPENSSH PRIVATE KEY")),
        ("public.pem", armour("PUBLIC KEY")),
        ("ssh.pub", "ssh-rsa AAAA a@b\n".to_owned()),
        ("server.crt", armour("CERTIFICATE")),
        ("key.asc", armour("PGP PRIVATE KEY BLOCK")),
        ("key.ppk", "PuTTY-User-Key-File-3: ssh-rsa\n".to_owned()),
    ] {
        fs::write(at.join(name), text).unwrap();
    }
    let own =
        "the private key of this pair signs; this one belongs in server.verify-key, in PEM form";
    let cases = [
        key(
            "ssh",
            "the file holds a private key in the form of OpenSSH",
            "convert a copy of it: `ssh-keygen -p -m PEM -f COPY`; a key of kind ed25519 cannot be converted, make another one",
        ),
        key("public.pem", "the file holds a public key", own),
        key("ssh.pub", "the file holds a public key of OpenSSH", own),
        key(
            "server.crt",
            "the file holds a certificate",
            "name the private key that belongs to it",
        ),
        key("key.asc", "the file holds an OpenPGP key", NEW_KEY),
        key(
            "key.ppk",
            "the file holds a private key in the form of PuTTY",
            "export it: `puttygen KEY -O private-openssh -o artifact.key`",
        ),
    ];
    refused(at, 1, &cases);
}

#[test]
fn keys_of_other_kinds() {
    let (Some(dir), Some(openssl)) = (workplace(), tool("openssl")) else {
        return;
    };
    let at = dir.path();
    let made = |arguments: &str, name: &str| {
        let words = arguments.split(' ').collect::<Vec<_>>();
        let mut all: Vec<&dyn AsRef<OsStr>> = vec![&"genpkey", &"-algorithm"];
        all.extend(words.iter().map(|one| one as &dyn AsRef<OsStr>));
        let path = at.join(name);
        all.extend([&"-out" as &dyn AsRef<OsStr>, &path]);
        must(&openssl, &all);
    };
    made("ed25519", "ed25519.pem");
    made("EC -pkeyopt ec_paramgen_curve:P-384", "p384.pem");
    let locked = "EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:x";
    made(locked, "locked.pem");
    let cases = [
        key(
            "ed25519.pem",
            "the file holds an Ed25519 key, which update clients do not verify",
            NEW_KEY,
        ),
        key(
            "p384.pem",
            "the file holds an EC key of another curve than P-256",
            NEW_KEY,
        ),
        key(
            "locked.pem",
            "the private key is encrypted, which is not supported",
            "take its password off a copy that nobody else can read: `openssl pkey -in locked.pem -out artifact.key`",
        ),
    ];
    refused(at, 1, &cases);
}

#[test]
fn values_that_do_not_fit_are_named_with_their_places() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("small.toml"), "[root]\nsize = \"1 MiB\"\n").unwrap();
    fs::write(at.join("both.toml"), "\n[root]\nslot-size = \"2 MiB\"\n").unwrap();
    let output = super::run(
        at,
        "plan -q -c qemux86-64 -s client.required=false -c small.toml -c both.toml -n r1 golden.img",
    );
    let said = super::stderr(&output);
    assert!(
        said.contains("root.size: small.toml:2:1") || said.contains("root.size: small.toml:2:8"),
        "{said}"
    );
    // What the command line sets needs no place: it was just typed.
    let output = super::run(
        at,
        "plan -q -c qemux86-64 -s client.required=false -s root.size=1MiB -n r1 golden.img",
    );
    let said = super::stderr(&output);
    assert!(
        said.contains("root.size") && !said.contains("(root.size: "),
        "{said}"
    );
}

#[test]
fn a_result_without_an_update_client_is_refused_warned_of_or_meant() {
    let Some(dir) = workplace() else { return };
    let at = dir.path();
    fs::write(at.join("own.toml"), "[data]\ngrow = true\n").unwrap();
    let said = |what: &str| {
        let line =
            format!("plan -q -c qemux86-64 {what} -n r1 -s storage.alignment=1MiB golden.img");
        let output = super::run(at, &line);
        (output.status.code(), super::stderr(&output))
    };
    let (code, refused) = said("-c own.toml");
    assert_eq!(code, Some(1), "{refused}");
    assert!(
        refused.contains(
            "error: the image has no update client: nothing could be updated on its devices\nhint: "
        ),
        "{refused}"
    );
    assert!(refused.contains("client.required = false"), "{refused}");
    // A board alone is a first try, unless warnings count.
    let warning = "warning: the image contains no update client";
    let (code, warned) = said("");
    assert_eq!(
        (code, warned.contains(warning)),
        (Some(0), true),
        "{warned}"
    );
    assert_eq!(said("--strict").0, Some(1));
    assert_eq!(said("-s client.required=true").0, Some(1));
    let (code, meant) = said("-c own.toml -s client.required=false");
    assert_eq!((code, meant.as_str()), (Some(0), ""));
}
