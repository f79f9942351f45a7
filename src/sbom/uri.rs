//! Package URLs (purl) and paths as URIs.

use crate::digest::hex;

/// A name with version and qualifiers as a package URL: `pkg:deb/<vendor>/<name>@<version>?...`
/// (Package URL specification, "Rules for each purl component", and its type `deb`).
#[derive(Clone, Debug)]
pub(super) struct Purl<'p> {
    /// The distribution, `ID` of `os-release(5)`.
    pub(super) vendor: &'p str,
    pub(super) name: &'p str,
    pub(super) version: &'p str,
    pub(super) architecture: &'p str,
    /// Source and version, if they are not those of the package.
    pub(super) upstream: Option<(&'p str, Option<&'p str>)>,
    /// `ID-VERSION_ID` of `os-release(5)`.
    pub(super) distro: &'p str,
}

impl std::fmt::Display for Purl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("pkg:deb/")?;
        if !self.vendor.is_empty() {
            write!(f, "{}/", encoded(self.vendor))?;
        }
        f.write_str(&encoded(self.name))?;
        if !self.version.is_empty() {
            write!(f, "@{}", encoded(self.version))?;
        }
        let upstream = self.upstream.map(|(name, version)| match version {
            Some(version) => format!("{name}@{version}"),
            None => name.to_owned(),
        });
        // In the order of their keys.
        let qualifiers = [
            ("arch", self.architecture),
            ("distro", self.distro),
            ("upstream", upstream.as_deref().unwrap_or_default()),
        ];
        let mut separator = '?';
        for (key, value) in qualifiers
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
        {
            write!(f, "{separator}{key}={}", encoded(value))?;
            separator = '&';
        }
        Ok(())
    }
}

/// A component of a package URL: all but unreserved characters (RFC 3986, section 2.3) and `:` are
/// percent-encoded.
fn encoded(text: &str) -> String {
    percent(text.as_bytes(), b":")
}

/// A path of the image as the path of a URI (RFC 3986, section 3.3): all bytes but unreserved ones
/// and `/` are percent-encoded.
pub(super) fn path(path: &[u8]) -> String {
    percent(path, b"/")
}

fn percent(bytes: &[u8], kept: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept.contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            out.push_str(&hex(&[*byte]).to_ascii_uppercase());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls() {
        let mut purl = Purl {
            vendor: "debian",
            name: "libstdc++6",
            version: "1:12.2.0-14+deb12u1~bpo",
            architecture: "amd64",
            upstream: None,
            distro: "debian-12",
        };
        assert_eq!(
            purl.to_string(),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1~bpo?arch=amd64&distro=debian-12"
        );
        purl.upstream = Some(("gcc-12", Some("1 2")));
        assert!(
            purl.to_string()
                .ends_with("&distro=debian-12&upstream=gcc-12%401%202")
        );
        purl.upstream = None;
        for part in [
            &mut purl.vendor,
            &mut purl.version,
            &mut purl.architecture,
            &mut purl.distro,
        ] {
            *part = "";
        }
        assert_eq!(purl.to_string(), "pkg:deb/libstdc%2B%2B6");
    }

    #[test]
    fn paths_of_any_bytes() {
        assert_eq!(path(b"/a b/\xff%+~"), "/a%20b/%FF%25%2B~");
    }
}
