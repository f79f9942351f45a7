//! A variable of mender-convert, and the rule by which its value becomes that of a key.

/// A unit of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// 1024 bytes.
    Kib,
    /// 1024 * 1024 bytes.
    Mib,
}

/// What becomes of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A number in this unit becomes a size.
    Size(&'static str, Unit),
    /// `y` becomes `true`, anything else `false`.
    YesNo(&'static str),
    /// Text stays text.
    Text(&'static str),
    /// Words between blanks become a list.
    Words(&'static str),
    /// A number stays a number.
    Number(&'static str),
    /// Words become other words.
    Choice(&'static str, &'static [(&'static str, &'static str)]),
    /// Decided together with other variables.
    Combined(&'static [&'static str]),
    /// goldsmith does it without a setting.
    Automatic,
    /// There is no equivalent; the note says what to do instead.
    Nothing,
}

impl Rule {
    /// The keys that the variable can set.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        match self {
            Self::Size(key, _)
            | Self::YesNo(key)
            | Self::Text(key)
            | Self::Words(key)
            | Self::Number(key)
            | Self::Choice(key, _) => vec![key],
            Self::Combined(keys) => keys.to_vec(),
            Self::Automatic | Self::Nothing => Vec::new(),
        }
    }

    /// How the value is written, where that differs: the end of a sentence.
    #[must_use]
    pub fn form(&self) -> Option<String> {
        match self {
            Self::Size(_, Unit::Bytes) => Some("a size such as `\"8 MiB\"`".to_owned()),
            Self::Size(_, Unit::Kib) => Some("with a unit, such as `\"8192 KiB\"`".to_owned()),
            Self::Size(_, Unit::Mib) => Some("with a unit, such as `\"8192 MiB\"`".to_owned()),
            Self::YesNo(_) => Some("`true` or `false`".to_owned()),
            Self::Words(_) => Some("a list such as `[\"one\", \"two\"]`".to_owned()),
            Self::Choice(_, words) => {
                let words = words
                    .iter()
                    .map(|(from, to)| format!("`{to}` for `{from}`"));
                Some(words.collect::<Vec<_>>().join(", "))
            }
            Self::Text(_)
            | Self::Number(_)
            | Self::Combined(_)
            | Self::Automatic
            | Self::Nothing => None,
        }
    }
}

/// A variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// The value that mender-convert itself gives it; `None` if it is not set then.
    pub default: Option<&'static str>,
    /// What becomes of it.
    pub rule: Rule,
    /// What else is to be known, or what to do instead: in lower case, without a final period;
    /// Markdown. Empty if the key says all.
    pub note: &'static str,
}

/// A variable that mender-convert sets to a default.
pub(super) const fn row(
    name: &'static str,
    default: &'static str,
    rule: Rule,
    note: &'static str,
) -> Variable {
    Variable {
        name,
        default: Some(default),
        rule,
        note,
    }
}

/// A variable that mender-convert itself does not set.
pub(super) const fn open(name: &'static str, rule: Rule, note: &'static str) -> Variable {
    Variable {
        name,
        default: None,
        rule,
        note,
    }
}
