//! Versions that a person asks for.

use crate::deb::{Version, VersionOperator};
use std::fmt;

/// Why a text does not name versions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` does not name a package to install: {reason}; these forms do: `name`, \
     `name=1.2.3-1`, `name=3.*`, `name>=5.1`, `name>=5.1,<<5.2`, each also with `name:arm64`"
)]
pub struct ConstraintError {
    /// The text as it was given.
    pub text: String,
    /// A lower-case fact without a final period.
    pub reason: String,
}

impl ConstraintError {
    pub(super) fn new(text: &str, reason: impl Into<String>) -> Self {
        Self {
            text: text.to_owned(),
            reason: reason.into(),
        }
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// `=3.*`: the version begins so. Without an epoch in the text, any epoch will do.
    Prefix(String),
    Compared(VersionOperator, Version),
}

/// Versions that will do: those that meet all conditions; all versions without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionConstraint(Vec<Condition>);

impl VersionConstraint {
    /// Reads conditions that are separated by commas: `=1.2.3-1`, `=3.*`, `>=5.1`, `<<5.2`, also
    /// `<=` and `>>`. The empty text means all versions.
    ///
    /// # Errors
    /// [`ConstraintError`] with the forms that are understood.
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let conditions = text
            .split(',')
            .map(|part| condition(part.trim()).map_err(|reason| ConstraintError::new(text, reason)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self(
            conditions
                .into_iter()
                .filter(|condition| *condition != Condition::Prefix(String::new()))
                .collect(),
        ))
    }

    /// Exactly this version.
    #[must_use]
    pub fn exact(version: Version) -> Self {
        Self(vec![Condition::Compared(VersionOperator::Equal, version)])
    }

    /// Whether all versions will do.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `version` will do.
    #[must_use]
    pub fn admits(&self, version: &Version) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Compared(operator, bound) => operator.holds(version, bound),
            Condition::Prefix(prefix) => {
                let text = version.to_string();
                let without_epoch = text.split_once(':').map_or(text.as_str(), |(_, rest)| rest);
                let text = if prefix.contains(':') {
                    &text
                } else {
                    without_epoch
                };
                text.starts_with(prefix.as_str())
            }
        })
    }
}

impl fmt::Display for VersionConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, condition) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match condition {
                Condition::Prefix(prefix) => write!(f, "={prefix}*")?,
                Condition::Compared(operator, bound) => write!(f, "{operator}{bound}")?,
            }
        }
        Ok(())
    }
}

fn condition(text: &str) -> Result<Condition, String> {
    let table = [
        ("<<", VersionOperator::Earlier),
        ("<=", VersionOperator::EarlierEqual),
        (">>", VersionOperator::Later),
        (">=", VersionOperator::LaterEqual),
        ("=", VersionOperator::Equal),
    ];
    let found = table
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?.trim())));
    let Some((operator, version)) = found else {
        return Err(match text.get(..1) {
            Some(sign @ ("<" | ">")) => {
                format!("`{sign}` is ambiguous: write `{sign}{sign}` or `{sign}=`")
            }
            _ => format!("`{text}` has no operator"),
        });
    };
    if let Some(prefix) = version.strip_suffix('*')
        && operator == VersionOperator::Equal
        && !prefix.contains('*')
    {
        let fine = |c: char| c.is_ascii_alphanumeric() || ".-+~:".contains(c);
        return if prefix.chars().all(fine) {
            Ok(Condition::Prefix(prefix.to_owned()))
        } else {
            Err(format!("`{version}` is not the beginning of a version"))
        };
    }
    if version.contains('*') {
        return Err(format!(
            "`{text}`: a star is understood at the end of `=VERSION` only"
        ));
    }
    let version = version.parse().map_err(|e| format!("{e}"))?;
    Ok(Condition::Compared(operator, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_read_and_written() {
        for (text, shown) in [
            ("", ""),
            ("=*", ""),
            (" = 5.1.* , << 5.2 ", "=5.1.*,<<5.2"),
            (">=1:2-3", ">=1:2-3"),
        ] {
            let read = VersionConstraint::parse(text).unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(VersionConstraint::parse(&read.to_string()).unwrap(), read);
        }
    }

    #[test]
    fn a_prefix_counts_without_the_epoch_unless_it_has_one() {
        let admits = |constraint: &str, version: &str| {
            VersionConstraint::parse(constraint)
                .unwrap()
                .admits(&version.parse().unwrap())
        };
        assert!(admits("=3.*", "1:3.4.0-1"));
        assert!(admits("=1:3.*", "1:3.4.0-1"));
        assert!(!admits("=2:3.*", "1:3.4.0-1"));
        assert!(!admits("=1.*", "1:3.4.0-1"));
        assert!(!admits("=3.*", "30.1"));
        assert!(admits("=3.*,<<1:3.4", "1:3.3"));
        assert!(!admits("=3.*,<<1:3.4", "1:3.4.0"));
    }
}
