//! `test` and `[`.

use super::super::script_host::ScriptHost;
use crate::shell::ExitStatus;
use crate::tree::{LeafKind, Node};

/// Expressions of more words are outside of the model, which looks into them recursively.
const MAX_WORDS: usize = 64;

/// 0 true, 1 false; `None` for an expression outside of the model.
pub(super) fn run(host: &ScriptHost<'_, '_>, args: &[&str]) -> Option<ExitStatus> {
    if args.len() > MAX_WORDS {
        return None;
    }
    let value = match args {
        [] => false,
        [one] => !one.is_empty(),
        [_, operator, _] if binary_operator(operator) => binary(args)?,
        ["!", rest @ ..] if rest.len() < 4 => run(host, rest)? != 0,
        _ => {
            let mut rest = args;
            let value = either(host, &mut rest)?;
            if !rest.is_empty() {
                return None;
            }
            value
        }
    };
    Some(i32::from(!value))
}

/// Expressions joined by `-o`, which binds weaker than `-a`.
fn either(host: &ScriptHost<'_, '_>, rest: &mut &[&str]) -> Option<bool> {
    let mut value = both(host, rest)?;
    while let ["-o", after @ ..] = rest {
        *rest = after;
        value |= both(host, rest)?;
    }
    Some(value)
}

fn both(host: &ScriptHost<'_, '_>, rest: &mut &[&str]) -> Option<bool> {
    let mut value = negated(host, rest)?;
    while let ["-a", after @ ..] = rest {
        *rest = after;
        value &= negated(host, rest)?;
    }
    Some(value)
}

fn negated(host: &ScriptHost<'_, '_>, rest: &mut &[&str]) -> Option<bool> {
    if let ["!", after @ ..] = rest {
        *rest = after;
        return Some(!negated(host, rest)?);
    }
    let (used, value) = match rest {
        [a, operator, b, ..] if binary_operator(operator) => (3, binary(&[a, operator, b])?),
        ["(", after @ ..] => {
            *rest = after;
            let value = either(host, rest)?;
            let [")", ..] = rest else { return None };
            (1, value)
        }
        [operator, operand, ..] if operator.len() == 2 && operator.starts_with('-') => {
            (2, unary(host, operator, operand)?)
        }
        [one, ..] => (1, !one.is_empty()),
        [] => return None,
    };
    *rest = rest.get(used..)?;
    Some(value)
}

fn binary_operator(text: &str) -> bool {
    matches!(
        text,
        "=" | "==" | "!=" | "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge" | "-nt" | "-ot" | "-ef"
    )
}

fn binary(args: &[&str]) -> Option<bool> {
    let [left, operator, right] = args else {
        return None;
    };
    let numbers = || {
        Some((
            left.trim().parse::<i64>().ok()?,
            right.trim().parse::<i64>().ok()?,
        ))
    };
    Some(match *operator {
        "=" | "==" => left == right,
        "!=" => left != right,
        "-eq" => numbers().map(|(a, b)| a == b)?,
        "-ne" => numbers().map(|(a, b)| a != b)?,
        "-lt" => numbers().map(|(a, b)| a < b)?,
        "-le" => numbers().map(|(a, b)| a <= b)?,
        "-gt" => numbers().map(|(a, b)| a > b)?,
        "-ge" => numbers().map(|(a, b)| a >= b)?,
        _ => return None,
    })
}

fn unary(host: &ScriptHost<'_, '_>, operator: &str, operand: &str) -> Option<bool> {
    let kind = |path: &str| match host.find(path) {
        Some(Node::Leaf(leaf)) => Some(&leaf.kind),
        _ => None,
    };
    // What is there depends on the kernel that runs.
    let of_kernel = ["/proc/", "/sys/"]
        .iter()
        .any(|dir| operand.starts_with(dir));
    if of_kernel && !matches!(operator, "-n" | "-z") {
        return None;
    }
    Some(match operator {
        "-n" => !operand.is_empty(),
        "-z" => operand.is_empty(),
        "-e" => host.exists(operand),
        "-f" => host.is_file(operand),
        "-d" => host.is_dir(operand),
        "-h" | "-L" => host.link_target(operand).is_some(),
        "-r" | "-w" => host.exists(operand),
        "-x" => {
            host.is_dir(operand)
                || host
                    .stat(operand, true)
                    .is_some_and(|stat| stat.mode & 0o111 != 0)
        }
        "-s" => host.is_dir(operand) || host.file_size(operand) > 0,
        "-u" => host
            .stat(operand, true)
            .is_some_and(|stat| stat.mode & 0o4000 != 0),
        "-g" => host
            .stat(operand, true)
            .is_some_and(|stat| stat.mode & 0o2000 != 0),
        "-p" => matches!(kind(operand), Some(LeafKind::Fifo)),
        "-S" => matches!(kind(operand), Some(LeafKind::Socket)),
        "-b" => matches!(kind(operand), Some(LeafKind::BlockDevice { .. })),
        "-c" => matches!(kind(operand), Some(LeafKind::CharDevice { .. })),
        // A conversion has no terminal.
        "-t" => false,
        _ => return None,
    })
}
