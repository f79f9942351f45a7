//! A boot script of the image's own.

use super::condition::{is_unknown, readable};
use super::env_file;
use super::eval::{self, Outcome};
use super::model::Chain;
use super::sources::{Place, Site, Sources};
use super::unusable;
use std::collections::BTreeMap;

/// The mark of the script that an earlier conversion wrote.
const OURS: &str = "mender_slot_env";

/// What the script at `place` starts; `None` when it is that of an earlier conversion. `prefix` is
/// the directory where U-Boot found it.
pub(super) fn follow(sources: &Sources<'_>, place: &Place, prefix: &str) -> Option<Chain> {
    let mut chain = Chain::new(place.clone(), sources);
    let text = match super::sources::script_text(sources, place) {
        Ok(text) => text,
        Err(reason) => {
            chain.unfollowed.push((place.clone(), reason));
            chain.remedy = Some(unusable::remedy(sources, place));
            return Some(chain);
        }
    };
    if text.contains(OURS) {
        return None;
    }
    if text.contains("flash-kernel") || text.contains("fk_kvers") {
        chain.is_flash_kernel = true;
        return Some(chain);
    }
    let variables = [("prefix".to_owned(), prefix.to_owned())].into();
    let settings = env_file::named_in(&text).map(|name| format!("{prefix}{name}"));
    let settings = settings.and_then(|path| sources.file(place.site, &path));
    let Some(settings) = settings else {
        evaluated(&mut chain, sources, place.site, &text, variables);
        return Some(chain);
    };
    let followed = match eval::follow(sources, place.site, &text, variables) {
        Ok(outcome) => take(&mut chain, outcome),
        Err(_) => false,
    };
    env_file::apply(&mut chain, sources, &settings, &text, followed);
    Some(chain)
}

/// Adds what the script `text` does, or the reason why that is unknown.
pub(super) fn evaluated(
    chain: &mut Chain,
    sources: &Sources<'_>,
    site: Site,
    text: &str,
    variables: BTreeMap<String, String>,
) {
    let reason = match eval::follow(sources, site, text, variables) {
        Ok(outcome) => {
            if take(chain, outcome) {
                return;
            }
            "sets no kernel arguments that can be known from the image".to_owned()
        }
        Err(reason) => reason,
    };
    chain.unfollowed.push((chain.place.clone(), reason));
}

/// Takes the result of a script; false when the arguments are not known.
fn take(chain: &mut Chain, outcome: Outcome) -> bool {
    let boot = outcome.boot;
    chain.kernel = boot.kernel.and_then(|loaded| loaded.place);
    chain.initrd = boot.initrd.and_then(|loaded| loaded.place);
    if let Some(tree) = boot.tree {
        // The directory of a name that only U-Boot knows.
        chain.tree_dir_path = tree
            .place
            .is_none()
            .then(|| tree.path.split(char_of_unknown).next().map(str::to_owned))
            .flatten();
        chain.tree = tree.place;
    }
    for overlay in boot.overlays {
        match overlay.place {
            Some(place) => chain.overlays.push(place),
            None => chain.missing_overlay(&readable(&overlay.path)),
        }
    }
    for place in outcome.imported {
        if !chain.settings.contains(&place) {
            chain.settings.push(place);
        }
    }
    if !outcome.ignored.is_empty() {
        let shown: Vec<String> = outcome
            .ignored
            .iter()
            .take(8)
            .map(|command| format!("`{}`", command.escape_default()))
            .collect();
        chain.notes.push(format!(
            "{}: commands that are not carried over: {}{}",
            chain.origin,
            shown.join(", "),
            if outcome.ignored.len() > shown.len() {
                format!(
                    " and {} more",
                    outcome.ignored.len().saturating_sub(shown.len())
                )
            } else {
                String::new()
            }
        ));
    }
    for name in outcome.unset {
        chain.notes.push(format!(
            "{}: ${{{name}}} in its kernel arguments has no value in the image: taken as empty",
            chain.origin
        ));
    }
    let Some(arguments) = boot.arguments else {
        return false;
    };
    let whole = is_unknown(&arguments)
        && arguments
            .split_whitespace()
            .all(|word| is_unknown(word) && !word.starts_with("root="));
    for word in arguments.split_whitespace() {
        if is_unknown(word) {
            // What the new script decides anyway.
            let decided = ["root=", "ubootpart=", "console="];
            if !decided.iter().any(|name| word.starts_with(name)) {
                chain.notes.push(format!(
                    "kernel argument dropped: {} (only U-Boot knows its value)",
                    readable(word)
                ));
            }
        } else if !word.ends_with('=') || !is_empty_setting(word) {
            chain.words.push(word.to_owned());
        }
    }
    !whole
}

/// Whether a word is a setting whose variable was empty: `usb-storage.quirks=`.
fn is_empty_setting(word: &str) -> bool {
    matches!(word.find('='), Some(at) if at == word.len().saturating_sub(1))
}

fn char_of_unknown(c: char) -> bool {
    is_unknown(c.encode_utf8(&mut [0; 4]))
}
