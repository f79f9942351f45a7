//! What the firmware of a golden image starts and passes on, over all models of the board.

use super::cmdline;
use super::firmware::{self, Taken};
use crate::boot::common::{TEXT_LIMIT, file_names};
use crate::boot::uboot::kernel::Kernel;
use crate::boot::uboot::options::UBootOptions;
use crate::boot::uboot::program;
use crate::platform::Architecture;
use crate::stream::ReadAt as _;
use crate::tree::Tree;
use std::collections::BTreeSet;

/// The longest kernel that is compared with others (bytes).
const KERNEL_LIMIT: u64 = 128 << 20;

/// What the firmware takes from the golden image's boot partition, for each model of the board and
/// each case that only the device can tell: the one to go by first.
pub(in crate::boot::uboot) struct GoldenStart(Vec<Taken>);

impl GoldenStart {
    pub(in crate::boot::uboot) fn new(boot: &Tree, options: &UBootOptions<'_>) -> Self {
        let models = firmware::models(options.models, options.arch);
        let all = models
            .into_iter()
            .flat_map(|model| firmware::taken(boot, model));
        Self(all.collect())
    }

    fn first(&self) -> Option<&Taken> {
        self.0.first()
    }

    /// Notes about a U-Boot that the golden image starts already, and its script.
    pub(super) fn remarks(&self, root: &Tree, boot: &Tree) -> Vec<String> {
        let mut notes = Vec::new();
        let starts_u_boot = self.first().is_some_and(|taken| {
            let kernel = boot.file(boot.path_ignore_case(format!("/{}", taken.kernel)));
            kernel.is_some_and(|content| {
                content
                    .read_all(KERNEL_LIMIT)
                    .is_ok_and(|bytes| program::is_uboot(&bytes))
            })
        });
        if starts_u_boot && let Some(file) = own_script(root, boot) {
            notes.push(format!(
                "{file}: the golden image starts U-Boot, which reads this; it is replaced, and \
                 only the kernel arguments of {} are kept: add others to root.kernel-args",
                self.cmdline()
            ));
        }
        notes
    }

    /// A note if the golden image starts another kernel than U-Boot will.
    pub(super) fn other_kernel(
        &self,
        root: &Tree,
        boot: &Tree,
        kernel: &Kernel,
        arch: Architecture,
    ) -> Option<String> {
        let taken = self.first()?;
        let golden = boot.file(boot.path_ignore_case(format!("/{}", taken.kernel)))?;
        let bytes = golden.read_all(KERNEL_LIMIT).ok()?;
        if program::is_uboot(&bytes) || !kernel.copies.is_empty() {
            return None;
        }
        let same = |path: &str| {
            root.file(path).is_some_and(|content| {
                content.len() == golden.len()
                    && content
                        .read_all(KERNEL_LIMIT)
                        .is_ok_and(|other| other == bytes)
            })
        };
        if same(&kernel.path) {
            return None;
        }
        let names = file_names(root, "/boot");
        let names = names.iter().filter(|name| name.starts_with("vmlinuz-"));
        let mut paths = names.map(|name| format!("/boot/{name}"));
        let which = paths.find(|path| same(path)).map_or_else(
            || "a file that is none of the kernels in /boot".to_owned(),
            |path| format!("the same as {path}"),
        );
        let bits = if taken.wide { "64" } else { "32" };
        let way = if taken.wide && arch == Architecture::Armhf {
            "; to keep the 64-bit kernel, set boot.u-boot to a U-Boot for arm64"
        } else {
            ""
        };
        Some(format!(
            "on a {}, the firmware of the golden image starts {} ({which}, {bits}-bit); U-Boot \
             starts {}{way}",
            taken.model.title(),
            taken.kernel,
            kernel.path
        ))
    }

    /// A note if the golden image starts with another initial RAM disk than U-Boot will load.
    pub(super) fn other_initrd(&self, root: &Tree, boot: &Tree, kernel: &Kernel) -> Option<String> {
        let taken = self.first()?;
        let [golden_kernel, name] = self.kernel(boot)?;
        let settings = firmware::settings(boot, taken.model);
        let is_set = settings.iter().any(|setting| {
            ["initramfs", "ramfsfile"].contains(&setting.name.as_str())
                || (setting.name == "auto_initramfs" && setting.value == "1")
        });
        if !is_set || golden_kernel != taken.kernel || !kernel.copies.is_empty() {
            return None;
        }
        let bytes = |tree: &Tree, path: &[u8]| tree.file(path)?.read_all(KERNEL_LIMIT).ok();
        let golden = bytes(boot, &boot.path_ignore_case(format!("/{name}")))?;
        let Some(path) = &kernel.initrd else {
            return Some(format!(
                "on a {}, the firmware of the golden image loads {name}; U-Boot loads no initial \
                 RAM disk, since the kernel {} has none in the slot",
                taken.model.title(),
                kernel.path
            ));
        };
        (bytes(root, path.as_bytes())? != golden).then(|| {
            format!(
                "on a {}, the firmware of the golden image loads {name}; U-Boot loads {path}, whose \
                 bytes are others",
                taken.model.title()
            )
        })
    }

    /// The kernel that the firmware starts, if it is not a U-Boot, and its initial RAM disk.
    pub(super) fn kernel(&self, boot: &Tree) -> Option<[String; 2]> {
        let mut all = self.0.iter();
        let taken = all.find(|taken| firmware::has(boot, &taken.kernel))?;
        let content = boot.file(boot.path_ignore_case(format!("/{}", taken.kernel)))?;
        if program::is_uboot(&content.read_all(KERNEL_LIMIT).ok()?) {
            return None;
        }
        let settings = firmware::settings(boot, taken.model);
        let named = settings.iter().rev().find_map(|setting| {
            let value = setting.value.split_whitespace().next()?;
            let names = ["initramfs", "ramfsfile"].contains(&setting.name.as_str());
            names.then(|| format!("{}{value}", taken.prefix.text))
        });
        // The name that the firmware looks for by itself: initramfs8 for kernel8.img.
        let at = taken.kernel.rfind('/').map_or(0, |at| at + 1);
        let (dir, name) = taken.kernel.split_at(at);
        let initrd = named.unwrap_or_else(|| match name.strip_prefix("kernel") {
            Some(rest) => format!("{dir}initramfs{}", rest.trim_end_matches(".img")),
            None => format!("{dir}initrd.img"),
        });
        Some([taken.kernel.clone(), initrd])
    }

    /// The prefixes that count on some model, and none.
    pub(super) fn prefixes(&self) -> BTreeSet<&str> {
        let some = self.0.iter().map(|taken| taken.prefix.text.as_str());
        some.chain([""]).collect()
    }

    /// The files that the firmware may take the arguments from, the one to go by first.
    pub(super) fn cmdlines(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for taken in &self.0 {
            let known = |name: &&str| name.eq_ignore_ascii_case(&taken.cmdline.text);
            if !out.iter().any(known) {
                out.push(&taken.cmdline.text);
            }
        }
        out
    }

    /// The file to take the arguments from.
    pub(in crate::boot::uboot) fn cmdline(&self) -> &str {
        self.first()
            .map_or("cmdline.txt", |taken| taken.cmdline.text.as_str())
    }

    /// The arguments that the firmware will pass on.
    pub(in crate::boot::uboot) fn kept_arguments(&self, boot: &Tree) -> String {
        let text = firmware::text(boot, self.cmdline()).unwrap_or_default();
        cmdline::edit(&text).line().to_owned()
    }

    /// Notes about the lines of `config.txt` that decide where files come from.
    pub(super) fn notes(&self, boot: &Tree) -> Vec<String> {
        let mut notes = Vec::new();
        let mut push = |note: String| {
            if !notes.contains(&note) {
                notes.push(note);
            }
        };
        for taken in &self.0 {
            let on = |condition: &Option<String>| match condition {
                Some(filter) => format!(" where {filter} applies"),
                None => String::new(),
            };
            if let Some(setting) = &taken.prefix.setting {
                push(format!(
                    "{}: os_prefix={} counts{}: the firmware takes U-Boot, device trees, overlays \
                     and {} from there",
                    setting.place,
                    setting.value,
                    on(&setting.condition),
                    taken.cmdline.text,
                ));
            } else if !taken.prefix.text.is_empty() {
                push(format!(
                    "config.txt: upstream_kernel=1 counts: the firmware takes U-Boot, device \
                     trees, overlays and {} from upstream/",
                    taken.cmdline.text
                ));
            }
            if let Some(setting) = &taken.cmdline.setting {
                push(format!(
                    "{}: cmdline={} counts{}: the kernel arguments are those of {}",
                    setting.place,
                    setting.value,
                    on(&setting.condition),
                    taken.cmdline.text,
                ));
            }
        }
        let of = |name: &str| {
            let models = self.0.iter().filter(|taken| taken.cmdline.text == name);
            let models: BTreeSet<&str> = models.map(|taken| taken.model.title()).collect();
            models.into_iter().collect::<Vec<_>>().join(", ")
        };
        let files = self.cmdlines();
        if files.len() > 1 {
            let each: Vec<String> = files
                .iter()
                .map(|name| format!("{name} ({})", of(name)))
                .collect();
            push(format!(
                "config.txt: the file with the kernel arguments depends on the device: {}; each \
                 device keeps its own",
                each.join(", ")
            ));
        }
        for name in files {
            if !firmware::has(boot, name) {
                push(format!(
                    "{name}: is not on the boot partition: the firmware passes on no arguments \
                     from it ({})",
                    of(name)
                ));
            }
        }
        notes
    }
}

/// A script or menu of U-Boot that is the golden image's own.
fn own_script(root: &Tree, boot: &Tree) -> Option<String> {
    let files = [
        "/boot.scr.uimg",
        "/boot.scr",
        "/extlinux/extlinux.conf",
        "/boot/boot.scr.uimg",
        "/boot/boot.scr",
        "/boot/extlinux/extlinux.conf",
    ];
    let ours = b"mender_boot_part";
    let is_own = |bytes: Vec<u8>| !bytes.windows(ours.len()).any(|window| window == ours);
    files.into_iter().find_map(|path| {
        let on_boot = boot.read(boot.path_ignore_case(path), TEXT_LIMIT).ok()?;
        if on_boot.is_some_and(is_own) {
            return Some(format!("{path} of the boot partition"));
        }
        let on_root = root.read(path, TEXT_LIMIT).ok()?;
        on_root.is_some_and(is_own).then(|| path.to_owned())
    })
}
