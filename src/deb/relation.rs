//! Relations between packages: `Depends`, `Conflicts`, `Provides` and their kin (`deb-control(5)`,
//! Debian Policy chapter 7).

use super::version::Version;
use std::cmp::Ordering;
use std::fmt;

/// Why a relation field could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{relation}` is not a relation: {reason}")]
pub struct RelationError {
    /// The part of the field.
    pub relation: String,
    /// A lower-case fact without a final period.
    pub reason: String,
}

/// How two versions must compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionOperator {
    /// `<<`: earlier than the bound
    Earlier,
    /// `<=` (also the obsolete `<`)
    EarlierEqual,
    /// `=`: neither earlier nor later
    Equal,
    /// `>=` (also the obsolete `>`)
    LaterEqual,
    /// `>>`: later than the bound
    Later,
}

impl VersionOperator {
    /// Whether `version` compares so to `bound`.
    #[must_use]
    pub fn holds(self, version: &Version, bound: &Version) -> bool {
        let order = version.cmp(bound);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }

    fn split(text: &str) -> Option<(Self, &str)> {
        let table = [
            ("<<", Self::Earlier),
            ("<=", Self::EarlierEqual),
            (">>", Self::Later),
            (">=", Self::LaterEqual),
            ("=", Self::Equal),
            ("<", Self::EarlierEqual),
            (">", Self::LaterEqual),
        ];
        table
            .into_iter()
            .find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)))
    }
}

impl fmt::Display for VersionOperator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierEqual => "<=",
            Self::Equal => "=",
            Self::LaterEqual => ">=",
            Self::Later => ">>",
        })
    }
}

/// One package named by a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Name of the package, or of a virtual one.
    pub name: String,
    /// The qualifier after a colon: `any`, `native` or an architecture.
    pub qualifier: Option<String>,
    /// The versions meant; all without it.
    pub version: Option<(VersionOperator, Version)>,
    /// The architectures in brackets for which the relation holds (`!` in front: for all but
    /// these); all when empty.
    pub architectures: Vec<String>,
}

impl Relation {
    /// Whether `version` is among the versions meant.
    #[must_use]
    pub fn admits(&self, version: &Version) -> bool {
        self.version
            .as_ref()
            .is_none_or(|(operator, bound)| operator.holds(version, bound))
    }

    /// Whether the relation holds for packages of `architecture`.
    #[must_use]
    pub fn holds_for(&self, architecture: &str) -> bool {
        let mut listed = self
            .architectures
            .iter()
            .map(|name| name.strip_prefix('!').unwrap_or(name));
        let named = listed.any(|name| name == architecture || name == "any");
        let negated = self.architectures.iter().any(|name| name.starts_with('!'));
        self.architectures.is_empty() || named != negated
    }

    fn parse(text: &str) -> Result<Self, RelationError> {
        let bad = |reason: String| RelationError {
            relation: text.trim().to_owned(),
            reason,
        };
        let rest = text.trim();
        let (name, mut rest) = rest.split_at(
            rest.find(|c: char| c.is_whitespace() || "([<".contains(c))
                .unwrap_or(rest.len()),
        );
        let (name, qualifier) = match name.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier.to_owned())),
            None => (name, None),
        };
        let fine = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if name.is_empty() || !name.chars().all(fine) || qualifier.as_deref() == Some("") {
            return Err(bad(format!("`{name}` is not a package name")));
        }
        let mut version = None;
        let mut architectures = Vec::new();
        while !rest.trim_start().is_empty() {
            rest = rest.trim_start();
            if let Some((inner, after)) =
                rest.strip_prefix('(').and_then(|rest| rest.split_once(')'))
            {
                let (operator, number) =
                    VersionOperator::split(inner.trim()).unwrap_or((VersionOperator::Equal, inner));
                version = Some((
                    operator,
                    number.trim().parse().map_err(|e| bad(format!("{e}")))?,
                ));
                rest = after;
            } else if let Some((inner, after)) =
                rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            {
                architectures = inner.split_whitespace().map(str::to_owned).collect();
                rest = after;
            } else {
                return Err(bad(format!("unexpected `{rest}`")));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            qualifier,
            version,
            architectures,
        })
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        if let Some((operator, version)) = &self.version {
            write!(f, " ({operator} {version})")?;
        }
        Ok(())
    }
}

/// A whole field: groups that must all hold, each of alternatives of which one must.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relations(pub Vec<Vec<Relation>>);

impl Relations {
    /// Reads a field's value. Groups for other architectures than `architecture` are dropped.
    ///
    /// # Errors
    /// [`RelationError`] that names the part.
    pub fn parse(text: &str, architecture: &str) -> Result<Self, RelationError> {
        let groups = text.split(',').filter(|group| !group.trim().is_empty());
        let group = |group: &str| -> Result<Vec<Relation>, RelationError> {
            let all = group
                .split('|')
                .map(Relation::parse)
                .collect::<Result<Vec<_>, _>>()?;
            Ok(all
                .into_iter()
                .filter(|relation| relation.holds_for(architecture))
                .collect())
        };
        let groups = groups.map(group).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(
            groups
                .into_iter()
                .filter(|group| !group.is_empty())
                .collect(),
        ))
    }
}

impl fmt::Display for Relations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |group: &Vec<Relation>| {
            group
                .iter()
                .map(Relation::to_string)
                .collect::<Vec<_>>()
                .join(" | ")
        };
        f.write_str(&self.0.iter().map(group).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_and_written() {
        let text =
            "a (>=1.0) ,b|c:any( << 2~ ),\n d [amd64 arm64] , e [!amd64], f:native (= 1:1-1)";
        let read = Relations::parse(text, "amd64").unwrap();
        assert_eq!(
            read.to_string(),
            "a (>= 1.0), b | c:any (<< 2~), d, f:native (= 1:1-1)"
        );
        assert_eq!(
            Relations::parse(" ", "amd64").unwrap(),
            Relations::default()
        );
        for bad in [
            "a (>= )",
            "a b",
            "a (1",
            "(>= 1)",
            "a <!nocheck>",
            "a: (= 1)",
            "a | ",
        ] {
            assert!(Relations::parse(bad, "amd64").is_err(), "{bad}");
        }
    }

    #[test]
    fn operators() {
        let admits = |relation: &str, version: &str| {
            Relation::parse(relation)
                .unwrap()
                .admits(&version.parse().unwrap())
        };
        for (relation, below, same, above) in [
            ("a (<< 2)", true, false, false),
            ("a (<= 2)", true, true, false),
            ("a (= 2)", false, true, false),
            ("a (>= 2)", false, true, true),
            ("a (>> 2)", false, false, true),
            ("a", true, true, true),
        ] {
            let got = (
                admits(relation, "2~"),
                admits(relation, "2"),
                admits(relation, "2+b1"),
            );
            assert_eq!(got, (below, same, above), "{relation}");
        }
    }
}
