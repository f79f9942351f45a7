//! Private keys in binary files, recognised as a whole: Java key stores, OpenPGP, Dropbear.

/// The form of the private key that `file` is.
pub(super) fn private_key(file: &[u8]) -> Option<&'static str> {
    if java(file).unwrap_or(false) {
        Some("private key in a Java key store")
    } else if openpgp(file).unwrap_or(false) {
        Some("OpenPGP private key")
    } else if dropbear(file).unwrap_or(false) {
        Some("Dropbear private key")
    } else {
        None
    }
}

/// Takes bytes from the start of a file.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.array()?))
    }

    /// Bytes after their length in 32 bits.
    fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.take(len)
    }

    /// Bytes after their length in 16 bits.
    fn short(&mut self) -> Option<&'a [u8]> {
        let len = u16::from_be_bytes(self.array()?);
        self.take(len.into())
    }
}

/// A key store of Java (JKS, JCEKS): whether one of its entries is a private key.
fn java(file: &[u8]) -> Option<bool> {
    let mut file = Cursor(file);
    let magic = file.u32()?;
    if magic != 0xFEED_FEED && magic != 0xCECE_CECE {
        return None;
    }
    let version = file.u32()?;
    for _ in 0..file.u32()? {
        match file.u32()? {
            1 => return Some(true),
            2 => {
                file.short()?;
                file.take(8)?;
                if version == 2 {
                    file.short()?;
                }
                file.string()?;
            }
            _ => return None,
        }
    }
    Some(false)
}

/// A secret key packet of OpenPGP (RFC 9580, section 5.5), followed by another packet or the end.
fn openpgp(file: &[u8]) -> Option<bool> {
    let mut file = Cursor(file);
    let [head] = file.array()?;
    let len = match head {
        0x94 => usize::from(file.array::<1>()?.first().copied()?),
        0x95 => usize::from(u16::from_be_bytes(file.array()?)),
        0x96 => usize::try_from(file.u32()?).ok()?,
        0xC5 => new_length(&mut file)?,
        _ => return None,
    };
    let mut packet = Cursor(file.take(len)?);
    let [version] = packet.array()?;
    packet.take(4)?;
    let [algorithm] = packet.array()?;
    // The tag of a user ID, of a secret subkey, of a signature.
    let next = match file.0.first() {
        None => true,
        Some(0xCD | 0xC7 | 0xC2) => true,
        Some(old) => matches!(old >> 2, 0x2D | 0x27 | 0x22),
    };
    let known = matches!(algorithm, 1..=3 | 16..=19 | 22 | 25..=28);
    Some(matches!(version, 3..=6) && known && next)
}

fn new_length(file: &mut Cursor<'_>) -> Option<usize> {
    let [first] = file.array()?;
    match first {
        0..=191 => Some(first.into()),
        192..=223 => {
            let [second] = file.array()?;
            let high = usize::from(first).checked_sub(192)?.checked_mul(256)?;
            high.checked_add(second.into())?.checked_add(192)
        }
        255 => usize::try_from(file.u32()?).ok(),
        _ => None,
    }
}

/// A key of Dropbear: the fields of the public key of SSH (RFC 4253), then the private ones.
fn dropbear(file: &[u8]) -> Option<bool> {
    let mut file = Cursor(file);
    let name = file.string()?;
    let public = match name {
        b"ssh-rsa" => 2,
        b"ssh-dss" => 4,
        b"ssh-ed25519" => return Some(file.string()?.len() == 64),
        _ if name.starts_with(b"ecdsa-sha2-") => 2,
        _ => return None,
    };
    for _ in 0..public {
        file.string()?;
    }
    Some(file.string().is_some_and(|private| private.len() >= 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(parts: &[&[u8]]) -> Vec<u8> {
        let string = |part: &&[u8]| [&(part.len() as u32).to_be_bytes()[..], part].concat();
        parts.iter().flat_map(string).collect()
    }

    #[test]
    fn dropbear_keys_have_fields_after_the_public_ones() {
        let public = strings(&[b"ssh-rsa", b"\x01\x00\x01", &[7; 257]]);
        let private = [public.clone(), strings(&[&[7; 256], &[7; 129], &[7; 129]])].concat();
        assert_eq!(private_key(&public), None);
        assert_eq!(private_key(&private), Some("Dropbear private key"));
        let ed = |len| strings(&[b"ssh-ed25519", &vec![7; len]]);
        assert_eq!(private_key(&ed(32)), None);
        assert_eq!(private_key(&ed(64)), Some("Dropbear private key"));
    }

    #[test]
    fn key_stores_of_certificates_are_public() {
        let store = |tag: u8| {
            let head = b"\xFE\xED\xFE\xED\0\0\0\x02\0\0\0\x02";
            let certificate = [
                &b"\0\0\0\x02\0\x01a\0\0\0\0\0\0\0\0\0\x05X.509"[..],
                &strings(&[b"0123"]),
            ]
            .concat();
            [&head[..], &certificate, &[0, 0, 0, tag], &certificate[4..]].concat()
        };
        assert_eq!(private_key(&store(2)), None);
        assert_eq!(
            private_key(&store(1)),
            Some("private key in a Java key store")
        );
    }
}
