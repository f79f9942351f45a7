//! Mount options that do not go with a filesystem.

/// A mount option that a new filesystem cannot be mounted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostOption {
    /// Its name, without a value.
    pub name: &'static str,
    /// The reason, for users.
    pub why: &'static str,
}

impl LostOption {
    /// Whether `option` is this one, with or without a value.
    #[must_use]
    pub fn is(&self, option: &str) -> bool {
        option.split('=').next() == Some(self.name)
    }

    pub(super) const fn new(name: &'static str, why: &'static str) -> Self {
        Self { name, why }
    }
}

/// The options of a list separated by commas without those of `lost`, and the lost ones.
#[must_use]
pub fn without<'l>(options: &str, lost: &'l [LostOption]) -> (String, Vec<(String, &'l str)>) {
    let mut gone = Vec::new();
    let kept: Vec<&str> = options
        .split(',')
        .filter(|option| match lost.iter().find(|lost| lost.is(option)) {
            None => true,
            Some(lost) => {
                gone.push(((*option).to_owned(), lost.why));
                false
            }
        })
        .collect();
    (kept.join(","), gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: [LostOption; 2] = [
        LostOption::new("test_dummy_encryption", "no encryption"),
        LostOption::new("sb", "elsewhere"),
    ];

    #[test]
    fn options_are_lost_with_their_values() {
        let (kept, gone) = without(
            "defaults,sb=8193,noatime,test_dummy_encryption,sbx=1",
            &LOST,
        );
        assert_eq!(kept, "defaults,noatime,sbx=1");
        let gone: Vec<_> = gone.iter().map(|(option, _)| option.as_str()).collect();
        assert_eq!(gone, ["sb=8193", "test_dummy_encryption"]);
        assert_eq!(without("", &LOST).0, "");
    }
}
