//! Words and assignments of shell settings. GRUB's scripts have the same quoting.

/// The words of a line of GRUB's or the shell's language: quotes and backslashes removed,
/// variables not expanded.
pub(in crate::boot) fn split_words(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => out.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    out
}

/// The value of a shell variable after these files of `/etc/default` were read in order: that of
/// its last assignment, in which the variable itself may occur.
pub(in crate::boot) fn shell_variable(files: &[String], name: &str) -> Option<String> {
    let mut found: Option<String> = None;
    for line in files.iter().flat_map(|file| file.lines()) {
        let words = split_words(line.trim_start().strip_prefix("export ").unwrap_or(line));
        let Some(value) = words
            .first()
            .and_then(|word| word.strip_prefix(name)?.strip_prefix('='))
        else {
            continue;
        };
        let before = found.unwrap_or_default();
        found = Some(
            value
                .replace(&format!("${{{name}}}"), &before)
                .replace(&format!("${name}"), &before),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_build_on_each_other() {
        let files = [
            "GRUB_CMDLINE_LINUX=\"a b\" # c\nGRUB_CMDLINE_LINUX_DEFAULT=quiet\n",
            "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX c\"\n",
        ];
        let files = files.map(String::from);
        assert_eq!(
            shell_variable(&files, "GRUB_CMDLINE_LINUX").as_deref(),
            Some("a b c")
        );
        assert_eq!(
            shell_variable(&files, "GRUB_CMDLINE_LINUX_DEFAULT").as_deref(),
            Some("quiet")
        );
        assert_eq!(shell_variable(&files, "GRUB"), None);
    }
}
