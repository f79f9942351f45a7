//! What names, lines and commands of scripts say about them.

/// The program that the first line of a script names.
pub(super) fn interpreter(first_line: &str) -> Option<String> {
    let mut words = first_line.strip_prefix("#!")?.split_whitespace();
    let program = words.next().unwrap_or_default();
    let program = match program.ends_with("/env") {
        true => words.find(|word| !word.starts_with('-')),
        false => Some(program),
    };
    Some(program.unwrap_or_default().to_owned())
}

/// Whether a program reads scripts of another language.
pub(super) fn is_other_interpreter(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    [
        "python", "perl", "ruby", "node", "nodejs", "lua", "php", "tclsh", "expect",
    ]
    .contains(&name)
}

/// Whether a word can be a program: a name, or a path where programs are, unlike a web address.
pub(super) fn is_program(word: &str) -> bool {
    let dirs = ["/bin/", "/sbin/", "/usr/"];
    !word.starts_with('/') || dirs.iter().any(|dir| word.starts_with(dir))
}

/// Whether a line of Python calls something whenever the program runs.
pub(super) fn is_plain_call(line: &str) -> bool {
    let calls = ["system(", "run(", "call(", "Popen(", "output("];
    let conditions = [
        "if ", "while ", "for ", "def ", "class ", "elif ", "return ",
    ];
    line.starts_with(|c: char| c.is_ascii_alphabetic())
        && !conditions.iter().any(|word| line.starts_with(word))
        && calls.iter().any(|call| line.contains(call))
}

/// Whether a name says that it is for the first start.
pub(super) fn names_first_start(name: &str) -> bool {
    let name: String = name
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    [
        "firstboot",
        "firstrun",
        "firststart",
        "onetime",
        "runonce",
        "resizeonce",
    ]
    .iter()
    .any(|mark| name.contains(mark))
}

/// Whether a command takes its own script or service out, as what runs once does.
pub(super) fn takes_itself_out(words: &[String], file: &str) -> bool {
    let name = words[0].rsplit('/').next().unwrap_or_default();
    let rest = &words[1..];
    let has = |text: &str| rest.iter().any(|word| word == text);
    match name {
        "systemctl" => has("disable") || has("mask"),
        "update-rc.d" => has("remove") || has("disable"),
        "rm" | "unlink" | "shred" => rest.iter().any(|word| {
            word == file
                || word == "$0"
                || word.contains("${BASH_SOURCE")
                || word.ends_with(".service")
        }),
        "mv" | "cp" => rest.last().is_some_and(|word| word == "/etc/rc.local"),
        _ => false,
    }
}

/// Whether a command asks a person.
pub(super) fn asks(name: &str) -> bool {
    ["read", "whiptail", "dialog", "zenity", "yad"].contains(&name)
}
