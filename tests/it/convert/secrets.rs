//! What stays at home: nothing of the host that converts, of who does it, where and with which key,
//! is in a result, unpacked or not, or is said.

use crate::convert::hostile::{holds, package};
use crate::support::images::small;
use crate::support::unprivileged::UnprivilegedUser;
use crate::support::{goldsmith, must, root, tool};
use goldsmith::stream::{Compression, decoder};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// In the path of everything, in the environment and in the host's name.
const MARK: &str = "marked-by-the-host";
/// In the overlay, to see that the search finds what is there.
const MEANT: &str = "marked-by-the-user";

/// A workshop below a directory with a telling name: a golden image, an overlay, a package and a
/// signing key of mode 0644.
fn materials(small: &Path, dir: &Path) {
    must("cp", &[&"--sparse=always", &small, &dir.join("golden.img")]);
    fs::create_dir_all(dir.join("overlay/etc")).unwrap();
    fs::write(dir.join("overlay/etc/meant"), MEANT).unwrap();
    package(&dir.join("package"));
    must(
        "dpkg-deb",
        &[
            &"--root-owner-group",
            &"--build",
            &dir.join("package"),
            &dir.join("a.deb"),
        ],
    );
    must(
        "openssl",
        &[
            &"ecparam",
            &"-name",
            &"prime256v1",
            &"-genkey",
            &"-noout",
            &"-out",
            &dir.join("key.pem"),
        ],
    );
    fs::set_permissions(dir.join("key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    let config = "extends = \"qemux86-64\"\n[storage]\nsize = \"256 MiB\"\nalignment = \"1 MiB\"\n[boot]\nsize = \"8 MiB\"\n\
                  [rootfs]\noverlays = [\"overlay\"]\n[data]\nsize = \"16 MiB\"\n[client]\npackages = [\"*.deb\"]\nmanaged = false\nrequired = false\n\
                  [artifact]\nkey = \"key.pem\"\n[output]\nrootfs = true\nname = \"r1\"\n";
    fs::write(dir.join("device.toml"), config).unwrap();
    must("chmod", &[&"-R", &"a+rwX", &dir]);
}

/// Converts with every variable that tells something saying [`MARK`], as root on a host of that
/// name.
fn convert(
    workshop: &UnprivilegedUser,
    program: &Path,
    dir: &Path,
    image: &str,
    compression: &str,
) -> Output {
    let mut command = workshop.command(program);
    command
        .args(["convert", "-c"])
        .arg(dir.join("device.toml"))
        .args(["-n", "r1", "-s", &format!("output.image={image}")]);
    command
        .args([
            "-s",
            &format!("artifact.compression={compression}"),
            "--output-dir",
        ])
        .arg(dir.join("out"))
        .arg(dir.join("golden.img"));
    let names = [
        "HOME",
        "USER",
        "LOGNAME",
        "HOSTNAME",
        "HOST",
        "EMAIL",
        "DEBEMAIL",
        "LANG",
        "TZ",
        "PWD",
        "TMPDIR",
        "SSH_AUTH_SOCK",
        "CI",
    ];
    for name in names {
        command.env(name, MARK);
    }
    if !root() {
        return command.output().unwrap();
    }
    let mut host = Command::new("unshare");
    host.args([
        "--uts",
        "sh",
        "-c",
        &format!("hostname {MARK} && cd \"$0\" && exec \"$@\""),
    ])
    .arg(dir);
    host.arg(command.get_program()).args(command.get_args());
    host.env_clear().envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    host.output().unwrap()
}

/// All results, and what is packed in them, unpacked.
fn unpacked(dir: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(dir.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let packed = |name: &str, kind| {
        let to = dir.join(format!("{name}.unpacked"));
        let mut plain = decoder(kind, File::open(dir.join("out").join(name)).unwrap()).unwrap();
        std::io::copy(&mut plain, &mut File::create(&to).unwrap()).unwrap();
        to
    };
    if dir.join("out/r1.img.zst").exists() {
        out.push(packed("r1.img.zst", Compression::Zstd));
        let artifact = dir.join("artifact");
        fs::create_dir_all(&artifact).unwrap();
        must(
            "tar",
            &[&"-C", &artifact, &"-xf", &dir.join("out/r1.mender")],
        );
        for inner in ["header.tar.gz", "data/0000.tar.gz"] {
            let mut plain =
                decoder(Compression::Gzip, File::open(artifact.join(inner)).unwrap()).unwrap();
            let to = dir.join(inner.replace('/', "-"));
            std::io::copy(&mut plain, &mut File::create(&to).unwrap()).unwrap();
            out.push(to);
        }
    }
    out
}

#[test]
fn nothing_of_the_host_reaches_a_result() {
    let Some(small) = small() else { return };
    if ["dpkg-deb", "openssl", "unshare", "hostname"]
        .iter()
        .any(|name| tool(name).is_none())
    {
        return;
    }
    let workshop = UnprivilegedUser::new();
    let dir = workshop.path().join(MARK);
    fs::create_dir(&dir).unwrap();
    materials(small, &dir);
    let pem = fs::read_to_string(dir.join("key.pem")).unwrap();
    let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let text = lines.concat();
    let der = must(
        "openssl",
        &[&"ec", &"-in", &dir.join("key.pem"), &"-noout", &"-text"],
    );
    let private: Vec<u8> = der
        .split("pub:")
        .next()
        .and_then(|text| text.split("priv:").nth(1))
        .map(|hex| {
            hex.split(|c: char| !c.is_ascii_hexdigit())
                .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
                .collect()
        })
        .unwrap();
    assert!(private.len() >= 30 && text.len() > 100, "{der}");
    let program = workshop.bring(goldsmith(), "goldsmith");
    for (image, compression) in [("raw", "none"), ("zst", "gzip")] {
        let output = convert(&workshop, &program, &dir, image, compression);
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(
            lines.iter().all(|line| !said.contains(line)),
            "the key is said: {said}"
        );
        let results = unpacked(&dir);
        assert!(
            results.len() >= if image == "raw" { 5 } else { 8 },
            "{results:?}"
        );
        for path in &results {
            let secrets: [(&str, &[u8]); 4] = [
                ("a mark of the host", MARK.as_bytes()),
                ("a line of the key", lines[0].as_bytes()),
                ("the key", &private),
                ("the key", &private[private.len() - 24..]),
            ];
            for (what, secret) in secrets {
                assert!(!holds(path, secret), "{what} is in {}", path.display());
            }
        }
        let found = results
            .iter()
            .filter(|path| holds(path, MEANT.as_bytes()))
            .count();
        assert!(
            found >= 3,
            "the search finds what the user put in only {found} times"
        );
        fs::remove_dir_all(dir.join("out")).unwrap();
    }
}

/// Prints, of a private key, 24 letters of its file and 24 bytes of each of its secret numbers,
/// both ways round; each byte is changed so that nobody's memory holds what is looked for.
const NEEDLES: &str = r#"
    my ($key) = @ARGV;
    my $text = `openssl pkey -in $key -noout -text`;
    open my $file, "<", $key or die;
    my @lines = <$file>;
    my @needles = substr($lines[1], 20, 24);
    while ($text =~ /(?:privateExponent|prime[12]|exponent[12]|coefficient|priv):\s+([0-9a-f:\s]+)/g) {
      (my $hex = $1) =~ s/[:\s]//g;
      my $bytes = substr(pack("H*", $hex), 4, 24);
      push @needles, $bytes, scalar reverse $bytes;
    }
    print map { unpack("H*", $_ ^ ("\x55" x 24)) . "\n" } @needles;
"#;

/// How often `needle`, changed as it is, is in what this process may write.
fn in_memory(needle: &[u8]) -> usize {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    let (mut buf, zeros) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [mut at, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
        while at < end {
            let len = buf.len().min((end - at) as usize);
            // Most of an allocator's memory was never touched.
            if memory.read_exact_at(&mut buf[..len], at).is_ok() && buf[..len] != zeros[..len] {
                found += buf[..len]
                    .windows(needle.len())
                    .filter(|window| window.iter().zip(needle).all(|(a, b)| a ^ 0x55 == *b))
                    .count();
            }
            // What lies over the seam is found in the next piece.
            at += if len == buf.len() {
                (len - needle.len()) as u64
            } else {
                len as u64
            };
        }
    }
    found
}

#[test]
fn a_key_is_wiped_after_use() {
    if tool("openssl").is_none() {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "convert::secrets::wiped",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn wiped() {
    use goldsmith::artifact::{self, Meta, Signer};
    let dir = crate::support::scratch();
    let key = dir.path().join("key.pem");
    let kinds: [&[&str]; 3] = [
        &[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
        ],
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
        ],
        &["genrsa", "-out"],
    ];
    for kind in kinds {
        let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> =
            kind.iter().map(|word| word as _).collect();
        words.push(&key);
        must("openssl", &words);
        let byte = |hex: &[u8]| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
        let printed = must("perl", &[&"-e", &NEEDLES, &key]);
        let needles: Vec<Vec<u8>> = printed
            .lines()
            .map(|hex| hex.as_bytes().chunks(2).map(byte).collect())
            .collect();
        assert!(needles.len() >= 3);
        let count = || {
            needles
                .iter()
                .map(|needle| in_memory(needle))
                .collect::<Vec<_>>()
        };
        let signer = Signer::open(&key).unwrap().signer;
        assert!(
            count().iter().any(|found| *found > 0),
            "{kind:?}: a key in use is not found"
        );
        let meta = Meta {
            name: "a".into(),
            device_types: vec!["b".into()],
            payload_name: "c".into(),
            ..Meta::default()
        };
        let mut file = std::io::Cursor::new(Vec::new());
        artifact::write(
            &mut file,
            &meta,
            &goldsmith::stream::Content::bytes(*b"payload"),
            Some(&signer),
        )
        .unwrap();
        drop(signer);
        assert!(
            count().iter().all(|found| *found == 0),
            "{kind:?}: letters of the file, numbers both ways round: {:?}",
            count()
        );
    }
}
