//! The answer of a server of the Remote Execution API, from what its client printed.
//!
//! `bgd execute command` of BuildGrid prints each operation in the text form of protocol buffers;
//! the last one contains an `ExecuteResponse` as the escaped bytes of `response.value`. Numbers of
//! fields are those of `build/bazel/remote/execution/v2/remote_execution.proto` and
//! `google/rpc/status.proto`.

#![deny(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

/// An `ExecuteResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExecuteResponse {
    /// Whether the result is that of an earlier execution.
    pub(super) cached: bool,
    /// The code of the status: 0 if the action was run.
    pub(super) status: u64,
    /// The message of the status.
    pub(super) message: String,
    /// The exit code of the program.
    pub(super) exit_code: u64,
    /// What the program wrote to standard error, if the answer contains it.
    pub(super) stderr: String,
    /// Otherwise the digest of it.
    pub(super) stderr_digest: Option<OutputDigest>,
    /// The results: path and digest.
    pub(super) outputs: Vec<(String, OutputDigest)>,
}

/// SHA-256 in hexadecimal, and length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OutputDigest {
    pub(super) sha256: String,
    pub(super) size: u64,
}

impl ExecuteResponse {
    /// The answer in what the client printed; `None` if there is none.
    pub(super) fn printed(text: &str) -> Option<Self> {
        let lines = text.lines().rev();
        let values = lines.filter_map(|line| line.trim().strip_prefix("value: \""));
        let value = values.filter_map(|value| value.strip_suffix('"')).next()?;
        Self::parse(&unescaped(value)?)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut out = Self::default();
        for field in fields(bytes)? {
            match field {
                (1, Field::Bytes(result)) => out.result(result)?,
                (2, Field::Number(cached)) => out.cached = cached != 0,
                (3, Field::Bytes(status)) => {
                    for field in fields(status)? {
                        match field {
                            (1, Field::Number(code)) => out.status = code,
                            (2, Field::Bytes(text)) => out.message = lossy(text),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(out)
    }

    /// Reads an `ActionResult`.
    fn result(&mut self, bytes: &[u8]) -> Option<()> {
        for field in fields(bytes)? {
            match field {
                (2, Field::Bytes(file)) => self.outputs.push(output(file)?),
                (4, Field::Number(code)) => self.exit_code = code,
                (7, Field::Bytes(text)) => self.stderr = lossy(text),
                (8, Field::Bytes(bytes)) => self.stderr_digest = Some(digest(bytes)?),
                _ => {}
            }
        }
        Some(())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads an `OutputFile`.
fn output(bytes: &[u8]) -> Option<(String, OutputDigest)> {
    let mut out = (String::new(), OutputDigest::default());
    for field in fields(bytes)? {
        match field {
            (1, Field::Bytes(path)) => out.0 = lossy(path),
            (2, Field::Bytes(bytes)) => out.1 = digest(bytes)?,
            _ => {}
        }
    }
    Some(out)
}

/// Reads a `Digest`.
fn digest(bytes: &[u8]) -> Option<OutputDigest> {
    let mut out = OutputDigest::default();
    for field in fields(bytes)? {
        match field {
            (1, Field::Bytes(hash)) => out.sha256 = lossy(hash),
            (2, Field::Number(size)) => out.size = size,
            _ => {}
        }
    }
    Some(out)
}

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
enum Field<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

/// The fields of a message with their numbers; `None` if it is cut off or damaged.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = tag >> 3;
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            1 => Field::Bytes(take(&mut bytes, 8)?),
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                Field::Bytes(take(&mut bytes, len)?)
            }
            5 => Field::Bytes(take(&mut bytes, 4)?),
            _ => return None,
        };
        out.push((number, field));
    }
    Some(out)
}

fn take<'b>(bytes: &mut &'b [u8], len: usize) -> Option<&'b [u8]> {
    let (first, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(first)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for at in 0..10_u32 {
        let byte = *take(bytes, 1)?.first()?;
        let part = u64::from(byte & 0x7F);
        value |= part.checked_shl(at.checked_mul(7)?)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The bytes of a string in the text form of protocol buffers: `\n`, `\"`, `\123` and so on.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let (kind, more) = rest.split_first()?;
        rest = more;
        out.push(match kind {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'"' | b'\'' | b'\\' => *kind,
            b'0'..=b'7' => {
                let digits = [*kind, *rest.first()?, *rest.get(1)?];
                rest = rest.get(2..)?;
                let digits = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 8).ok()?
            }
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
#[allow(
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
mod tests {
    use super::*;

    /// A field that contains bytes.
    fn bytes(number: u8, value: &[u8]) -> Vec<u8> {
        let len = u8::try_from(value.len()).unwrap();
        let len = if len < 128 {
            vec![len]
        } else {
            vec![len & 0x7F | 0x80, 1]
        };
        [&[number << 3 | 2], &len[..], value].concat()
    }

    fn printed(value: &[u8]) -> String {
        let escaped: String = value
            .iter()
            .map(|byte| match byte {
                b'\n' => "\\n".to_owned(),
                b'"' => "\\\"".to_owned(),
                b'a'..=b'z' | b'.' | b'/' => char::from(*byte).to_string(),
                _ => format!("\\{byte:03o}"),
            })
            .collect();
        format!(
            "name: \"a\"\n\ndone: true\nresponse {{\n  type_url: \"x\"\n  value: \"{escaped}\"\n}}\n\nResponse status code: \n"
        )
    }

    #[test]
    fn an_answer_is_read() {
        let hash = "5d53c512cd901f0dce494506549bc5733b95a77e7879882888891d79c0a11655";
        let digest = [bytes(1, hash.as_bytes()), vec![2 << 3, 0xCA, 1]].concat();
        let file = [bytes(1, b"deploy/out.txt"), bytes(2, &digest)].concat();
        let parts = [
            bytes(2, &file),
            vec![4 << 3, 1],
            bytes(7, b"no\n"),
            bytes(8, &digest),
        ];
        let status = [vec![1 << 3, 13], bytes(2, b"a \"bad\"")].concat();
        let answer = [
            bytes(1, &parts.concat()),
            vec![2 << 3, 1],
            bytes(3, &status),
        ]
        .concat();
        let found = ExecuteResponse::printed(&printed(&answer)).unwrap();
        let digest = OutputDigest {
            sha256: hash.to_owned(),
            size: 202,
        };
        let expected = ExecuteResponse {
            cached: true,
            status: 13,
            message: "a \"bad\"".to_owned(),
            exit_code: 1,
            stderr: "no\n".to_owned(),
            stderr_digest: Some(digest.clone()),
            outputs: vec![("deploy/out.txt".to_owned(), digest)],
        };
        assert_eq!(found, expected);
        // Whatever is cut off is not half an answer.
        for len in 1..answer.len() {
            let cut = ExecuteResponse::printed(&printed(&answer[..len]));
            assert_ne!(cut.as_ref(), Some(&expected), "{len}");
        }
    }

    #[test]
    fn damaged_answers_are_none() {
        for text in [
            "",
            "value: \"\\n\\005a\"",
            "value: \"\\377\\377\\377\\377\\377\\377\\377\\377\\377\\377\\001\"",
            "value: \"\\q\"",
            "value: \"\\7\"",
            "value: \"\\013\"",
        ] {
            assert_eq!(ExecuteResponse::printed(text), None, "{text}");
        }
    }
}
