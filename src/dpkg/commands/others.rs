//! Commands that act on a running system, keep caches, or belong to one program.

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use super::{catalog, loader_cache, text};
use crate::shell::{ExitStatus, Io, glob};

pub(super) fn run(
    host: &mut ScriptHost<'_, '_>,
    word: &str,
    args: &[&str],
    io: &mut Io,
) -> CommandResult {
    Ok(match word {
        // Nothing runs in an image, so there is nothing to start, stop or reload.
        "deb-systemd-invoke" | "invoke-rc.d" | "service" | "apparmor_parser" | "udevadm" => Some(0),
        "pidof" | "pgrep" | "pkill" | "killall" => Some(1),
        "start-stop-daemon" => stop(host, args),
        "logger" => Some(0),
        "aa-enabled" | "aa-status" | "ischroot" => Some(1),
        "ldconfig" => return loader_cache::ldconfig(host, args),
        // Python modules are compiled when they are first used.
        "py3compile" | "pycompile" | "update-python-modules" => uncompiled(host),
        "py3clean" | "pyclean" => Some(0),
        _ if word.starts_with("python3") && compiles(args) => uncompiled(host),
        "update-mime-database" => refused(host, word, args),
        "update-catalog" => return catalog::run(host, args),
        "mandb"
        | "update-desktop-database"
        | "gtk-update-icon-cache"
        | "update-icon-caches"
        | "fc-cache"
        | "update-initramfs" => left_out(host, word, args),
        "glib-compile-schemas" => compile_schemas(host, args),
        "gio-querymodules" => return query_modules(host, args),
        "getcap" => getcap(host, args, io),
        "chronyd" => return chronyd(host, args, io),
        _ => None,
    })
}

/// `start-stop-daemon --stop`: nothing runs that could be stopped.
fn stop(host: &ScriptHost<'_, '_>, args: &[&str]) -> Option<ExitStatus> {
    let (mut stop, mut fine) = (false, false);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match *arg {
            "--exec" | "-x" => {
                // A program that is not there is an error of its own.
                if !host.exists(rest.next()?) {
                    return Some(2);
                }
            }
            "--stop" | "-K" => stop = true,
            "--oknodo" | "-o" => fine = true,
            "--quiet" | "-q" | "--verbose" | "-v" => {}
            "--name" | "-n" | "--pidfile" | "-p" | "--retry" | "-R" | "--signal" | "-s" => {
                rest.next()?;
            }
            option
                if ["--retry=", "--pidfile=", "--signal="]
                    .iter()
                    .any(|o| option.starts_with(o)) => {}
            _ => return None,
        }
    }
    stop.then_some(i32::from(!fine))
}

/// Whether Python is called to compile modules, and for nothing else.
fn compiles(args: &[&str]) -> bool {
    let mut words = args
        .iter()
        .filter(|arg| !matches!(**arg, "-E" | "-S" | "-O" | "-OO" | "-I"));
    match (words.next(), words.next()) {
        (Some(&"-m"), Some(module)) => matches!(*module, "py_compile" | "compileall"),
        (Some(script), _) => {
            script.starts_with("/usr/lib/python3")
                && (script.ends_with("/py_compile.py") || script.ends_with("/compileall.py"))
        }
        _ => false,
    }
}

/// Modules of Python, which are not compiled: Python does it at each import where it cannot keep
/// the result.
fn uncompiled(host: &mut ScriptHost<'_, '_>) -> Option<ExitStatus> {
    let (package, script) = (&host.package.name, &host.package.script);
    let text = format!(
        "package {package}: {script}: the modules of Python are not compiled: programs start more \
         slowly, as Python compiles each module when it imports it"
    );
    host.note(text);
    Some(0)
}

/// A database without which programs do not find what they need.
fn refused(host: &mut ScriptHost<'_, '_>, word: &str, args: &[&str]) -> Option<ExitStatus> {
    let words = [&[word], args].concat().join(" ");
    host.impossible
        .insert(words, "the database of MIME types cannot be made here");
    None
}

/// A cache or catalogue that is not rebuilt: the note says so, and promises nothing.
fn left_out(host: &mut ScriptHost<'_, '_>, word: &str, args: &[&str]) -> Option<ExitStatus> {
    let what = match word {
        "mandb" => "the index of manual pages",
        "update-desktop-database" => "the list of applications by MIME type",
        "fc-cache" => "the cache of fonts",
        "update-initramfs" => "the initial RAM disk",
        _ => "the cache of icons",
    };
    let (package, script) = (&host.package.name, &host.package.script);
    let words = [&[word], args].concat().join(" ");
    let text = format!(
        "package {package}: {script}: `{words}` is left out: {what} stays that of the golden image"
    );
    host.note(text);
    Some(0)
}

/// Schemas are compiled into one binary file, which is beyond the model; without any there is
/// nothing to do.
fn compile_schemas(host: &ScriptHost<'_, '_>, args: &[&str]) -> Option<ExitStatus> {
    let [dir] = args else { return None };
    let schemas = format!("{dir}/*.gschema.xml");
    let found = glob(host, &schemas);
    found.is_empty().then_some(i32::from(!host.is_dir(dir)))
}

/// The list of modules only saves time, so it is removed where it would change.
fn query_modules(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let [dir] = args else { return Ok(None) };
    let found = glob(host, &format!("{dir}/lib*.so"));
    if !found.is_empty() {
        let package = host.package.name.clone();
        let text = format!(
            "package {package}: the list {dir}/giomodule.cache is removed instead of rebuilt: \
             without it, programs look into the modules themselves"
        );
        host.note(text);
    }
    host.remove(&format!("{dir}/giomodule.cache"))?;
    Ok(Some(0))
}

/// Prints the files that have capabilities.
fn getcap(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> Option<ExitStatus> {
    let marked = |path: &&&str| {
        host.stat(path, true)
            .is_some_and(|s| s.xattrs.contains_key(&b"security.capability"[..]))
    };
    for path in args.iter().filter(marked) {
        text::say(io, &format!("{path} cap"));
    }
    args.iter().all(|arg| !arg.starts_with('-')).then_some(0)
}

/// `chronyd -p`: the configuration with its includes, without remarks.
fn chronyd(host: &ScriptHost<'_, '_>, args: &[&str], io: &mut Io) -> CommandResult {
    if args != ["-p"] {
        return Ok(None);
    }
    for line in host
        .text("/etc/chrony/chrony.conf")?
        .unwrap_or_default()
        .lines()
        .map(str::trim)
    {
        if line.is_empty() || line.starts_with(['!', ';', '#', '%']) {
            continue;
        }
        let mut words = line.split_whitespace();
        match words.next() {
            Some("confdir") => {
                for dir in words {
                    for file in glob(host, &format!("{dir}/*.conf")) {
                        io.output.push_str(&host.text(&file)?.unwrap_or_default());
                    }
                }
            }
            Some("include") => return Ok(None),
            _ => _ = text::say(io, line),
        }
    }
    Ok(Some(0))
}
