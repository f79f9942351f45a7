//! Versions and their order, as `deb-version(7)` defines it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Why a text is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a version: {reason}")]
pub struct VersionError {
    /// The text as it was given.
    pub text: String,
    /// A lower-case fact without a final period.
    pub reason: &'static str,
}

/// `[epoch:]upstream[-revision]`. Two versions are equal when neither sorts before the other (`1.0`
/// and `1.00-0`).
#[derive(Clone, Debug)]
pub struct Version {
    epoch: u32,
    upstream: String,
    revision: String,
    text: String,
}

impl Version {
    /// The number before the colon, which counts before all else; 0 without one.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let text = text.trim();
        let bad = |reason| VersionError {
            text: text.to_owned(),
            reason,
        };
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) => (
                epoch
                    .parse()
                    .ok()
                    .filter(|n| *n <= i32::MAX.unsigned_abs())
                    .ok_or_else(|| bad("bad epoch"))?,
                rest,
            ),
            None => (0, text),
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        if upstream.is_empty() {
            return Err(bad("empty"));
        }
        if rest.ends_with('-') {
            return Err(bad("empty revision"));
        }
        let fine =
            |extra: &'static str| move |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
        if !upstream.chars().all(fine(".-+~:")) || !revision.chars().all(fine(".+~")) {
            return Err(bad("invalid character"));
        }
        Ok(Self {
            epoch,
            upstream: upstream.to_owned(),
            revision: revision.to_owned(),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = || {
            compare(&self.upstream, &other.upstream)
                .then_with(|| compare(&self.revision, &other.revision))
        };
        self.epoch.cmp(&other.epoch).then_with(parts)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

/// Compares two upstream versions or revisions: alternately a part without digits and a number.
fn compare(mut a: &str, mut b: &str) -> Ordering {
    while !(a.is_empty() && b.is_empty()) {
        let (word_a, rest_a) = split(a, |c| !c.is_ascii_digit());
        let (word_b, rest_b) = split(b, |c| !c.is_ascii_digit());
        let (number_a, next_a) = split(rest_a, |c| c.is_ascii_digit());
        let (number_b, next_b) = split(rest_b, |c| c.is_ascii_digit());
        let order = words(word_a, word_b).then_with(|| numbers(number_a, number_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (next_a, next_b);
    }
    Ordering::Equal
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// `~` sorts before the end of the word, the end before letters, letters before all else.
fn words(a: &str, b: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other).saturating_add(256),
    };
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let steps = (0..a.len().max(b.len())).map(|at| weight(a.get(at)).cmp(&weight(b.get(at))));
    steps
        .into_iter()
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Numbers of any length: the one with more digits is larger.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn bad_versions() {
        for bad in [
            "",
            "1:",
            "x:1",
            "-1",
            "1-",
            "1 2",
            "1_2",
            "9999999999:1",
            "1-ä",
            ":1",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
        assert_eq!("1:2-3".parse::<Version>().unwrap().to_string(), "1:2-3");
    }

    #[test]
    fn order() {
        let sorted = [
            "0~", "0", "0a", "0+", "1~~", "1~", "1", "1-0.1", "1-1", "1-1+b1", "1.0a", "1.0+1",
            "1.10", "2", "1:0",
        ];
        for (at, low) in sorted.iter().enumerate() {
            for high in &sorted[at + 1..] {
                let (low, high): (Version, Version) = (low.parse().unwrap(), high.parse().unwrap());
                assert!(low < high, "{low} < {high}");
                assert!(high > low, "{high} > {low}");
            }
        }
        assert_eq!("1.0".parse::<Version>(), "0:1.00-0".parse::<Version>());
    }
}
