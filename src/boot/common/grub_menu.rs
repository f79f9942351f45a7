//! The kernel arguments of the golden image's own GRUB menu, which are those that its vendor really
//! boots with.

use super::env_block::variables;
use super::shell_words::{shell_variable, split_words};
use super::{TEXT_LIMIT, file_names};
use crate::tree::Tree;
use crate::tree::edit::EditError;

/// An open block of `grub.cfg`: the file itself, an entry, a submenu, or another one in braces.
struct Frame {
    /// Number, title and id, for an entry or submenu.
    names: Option<[String; 3]>,
    /// The number of entries and submenus in it so far.
    children: usize,
}

/// A menu entry that loads a kernel.
struct MenuEntry {
    /// The names of the submenus around it, and its own.
    path: Vec<[String; 3]>,
    /// The arguments on its `linux` line.
    words: Vec<String>,
}

/// The words after the kernel's name on the `linux` line of the entry that `default` selects, else
/// of the first entry. `saved` is the environment block's `saved_entry`.
fn default_arguments(config: &str, saved: Option<&str>) -> Option<Vec<String>> {
    let mut frames = vec![Frame {
        names: None,
        children: 0,
    }];
    let mut entries: Vec<MenuEntry> = Vec::new();
    let mut default = None;
    for line in config.lines() {
        let words = split_words(line);
        let Some(first) = words.first() else { continue };
        match first.as_str() {
            "set" => {
                default = words
                    .get(1)
                    .and_then(|word| default_of(word, saved))
                    .or(default)
            }
            "linux" | "linux16" | "linuxefi" => {
                let path: Vec<_> = frames
                    .iter()
                    .filter_map(|frame| frame.names.clone())
                    .collect();
                if entries.last().is_none_or(|entry| entry.path != path) && !path.is_empty() {
                    entries.push(MenuEntry {
                        path,
                        words: words.into_iter().skip(2).collect(),
                    });
                }
            }
            "}" => drop(frames.pop().filter(|_| !frames.is_empty())),
            _ if words.last().is_some_and(|word| word == "{") => open_block(&mut frames, &words),
            _ => {}
        }
    }
    let wanted = default.unwrap_or_default();
    let chosen = entries
        .iter()
        .position(|entry| selects(&wanted, &entry.path))
        .unwrap_or(0);
    entries.into_iter().nth(chosen).map(|entry| entry.words)
}

/// The value of `default=...`; `None` when it depends on an unknown variable.
fn default_of(word: &str, saved: Option<&str>) -> Option<String> {
    match word.strip_prefix("default=")? {
        "$saved_entry" | "${saved_entry}" => saved.map(str::to_owned),
        value if value.contains('$') => None,
        value => Some(value.to_owned()),
    }
}

/// Enters the block that `words` open; a menu entry or submenu counts in its parent.
fn open_block(frames: &mut Vec<Frame>, words: &[String]) {
    let mut names = None;
    if let ("menuentry" | "submenu", Some(parent)) = (words[0].as_str(), frames.last_mut()) {
        let id = words
            .iter()
            .position(|word| word == "--id" || word == "$menuentry_id_option");
        let id = id
            .and_then(|at| words.get(at + 1))
            .cloned()
            .unwrap_or_default();
        names = Some([
            parent.children.to_string(),
            words.get(1).cloned().unwrap_or_default(),
            id,
        ]);
        parent.children += 1;
    }
    frames.push(Frame { names, children: 0 });
}

/// Whether `default` (numbers, titles or ids, joined by `>`) names the entry, or a submenu around
/// it.
fn selects(default: &str, path: &[[String; 3]]) -> bool {
    let mut path = path.iter();
    !default.is_empty()
        && default.split('>').all(|part| {
            path.next()
                .is_some_and(|names| names.iter().any(|name| name == part))
        })
}

/// The file that arguments are from, if there is one, and the arguments.
pub(in crate::boot) type ImageArguments = (Option<String>, Vec<String>);

/// The arguments that the image boots with, and the file that they are from, if there is one.
pub(in crate::boot) fn image_arguments(root: &Tree) -> Result<ImageArguments, EditError> {
    let config = "/boot/grub/grub.cfg";
    if let Some(text) = root.text(config, TEXT_LIMIT)? {
        let block = root
            .read("/boot/grub/grubenv", TEXT_LIMIT)?
            .and_then(|block| variables(&block))
            .unwrap_or_default();
        let saved = block
            .iter()
            .find(|(name, _)| name == "saved_entry")
            .map(|(_, value)| value.as_str());
        if let Some(words) = default_arguments(&text, saved) {
            return Ok((Some(config.into()), words));
        }
    }
    let mut files: Vec<String> = root
        .text("/etc/default/grub", TEXT_LIMIT)?
        .into_iter()
        .collect();
    let origin = (!files.is_empty()).then(|| "/etc/default/grub".to_owned());
    for name in file_names(root, "/etc/default/grub.d")
        .iter()
        .filter(|name| name.ends_with(".cfg"))
    {
        files.extend(root.text(format!("/etc/default/grub.d/{name}"), TEXT_LIMIT)?);
    }
    let value = |name| shell_variable(&files, name).unwrap_or_default();
    let words = format!(
        "{} {}",
        value("GRUB_CMDLINE_LINUX"),
        value("GRUB_CMDLINE_LINUX_DEFAULT")
    );
    Ok((origin, split_words(&words)))
}

/// A warning about a menu that asks for a password: the boot partition's script has its own menu,
/// which asks for none.
pub(in crate::boot) fn password(root: &Tree) -> Option<String> {
    const DIR: &str = "/etc/grub.d";
    let scripts = file_names(root, DIR).into_iter();
    let scripts = scripts.map(|name| format!("{DIR}/{name}"));
    let menus = [
        "/boot/grub/grub.cfg",
        "/boot/grub/custom.cfg",
        "/boot/grub/user.cfg",
    ];
    let mut paths = menus.map(str::to_owned).into_iter().chain(scripts);
    let found = paths.find_map(|path| {
        let bytes = root.read(&path, TEXT_LIMIT).ok().flatten()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let line = text.lines().position(|line| {
            let line = line.trim_start();
            line.starts_with("set superusers") || line.starts_with("password_pbkdf2 ")
        })?;
        Some(format!("{path}:{}", line + 1))
    });
    found.map(|place| {
        format!(
            "{place}: GRUB asks for a password on the golden image, but not on the device: whoever has its console can change the kernel arguments"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
else
   set default="DEFAULT"
fi
function load_video {
  if [ x$feature_all_video_module = xy ]; then
    insmod all_video
  fi
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-x' {
	load_video
	search --no-floppy --fs-uuid --set=root 1234
	linux	/boot/vmlinuz-6 root=UUID=1234 ro  console=ttyS0 quiet $vt_handoff
	initrd	/boot/initrd.img-6
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-x' {
	menuentry 'Linux 5' --id five {
		linux	/boot/vmlinuz-5 root=UUID=1234 ro five "dyndbg=file a +p"
	}
	menuentry 'Linux 4' { # old
		linux	/boot/vmlinuz-4 root=UUID=1234 ro four
	}
}
menuentry "It's {last}" {
	linuxefi /vmlinuz rw last
}
"#;

    #[test]
    fn the_default_entry_is_found_by_number_title_and_id() {
        let cases = [
            ("0", "quiet"),
            ("gnulinux-simple-x", "quiet"),
            ("1", "five"),
            ("1>1", "four"),
            ("gnulinux-advanced-x>five", "five"),
            ("Advanced options>Linux 4", "four"),
            ("2", "last"),
            ("It's {last}", "last"),
            ("nothing of the kind", "quiet"),
            ("${saved_entry}", "four"),
        ];
        for (default, marker) in cases {
            let found =
                default_arguments(&CONFIG.replace("DEFAULT", default), Some("1>1")).unwrap();
            assert!(
                found.iter().any(|word| word == marker),
                "{default}: {found:?}"
            );
        }
        let first = default_arguments(CONFIG, None).unwrap();
        assert_eq!(
            first,
            [
                "root=UUID=1234",
                "ro",
                "console=ttyS0",
                "quiet",
                "$vt_handoff"
            ]
        );
        let five = default_arguments(&CONFIG.replace("DEFAULT", "1"), None).unwrap();
        assert_eq!(five[3], "dyndbg=file a +p");
        assert_eq!(default_arguments("}\n}\nlinux /x y\n", None), None);
    }
}
