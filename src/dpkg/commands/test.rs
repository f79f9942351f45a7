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
        ["!", rest @ ..] => run(host, rest)? != 0,
        [_, operator, _] if binary_operator(operator) => binary(args)?,
        [operator, operand] if operator.starts_with('-') => unary(host, operator, operand)?,
        ["(", inner @ .., ")"] => run(host, inner)? == 0,
        _ => joined(host, args)?,
    };
    Some(i32::from(!value))
}

/// `-o` binds weaker than `-a`; arguments are few, so looking from the left is enough.
fn joined(host: &ScriptHost<'_, '_>, args: &[&str]) -> Option<bool> {
    for (operator, or) in [("-o", true), ("-a", false)] {
        if let Some(at) = args.iter().position(|arg| *arg == operator) {
            let (left, right) = args.split_at(at);
            let left = run(host, left)? == 0;
            let right = run(host, right.get(1..)?)? == 0;
            return Some(if or { left || right } else { left && right });
        }
    }
    None
}

fn binary_operator(text: &str) -> bool {
    matches!(
        text,
        "=" | "==" | "!=" | "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge"
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
        "-eq" => numbers().is_some_and(|(a, b)| a == b),
        "-ne" => numbers().is_some_and(|(a, b)| a != b),
        "-lt" => numbers().is_some_and(|(a, b)| a < b),
        "-le" => numbers().is_some_and(|(a, b)| a <= b),
        "-gt" => numbers().is_some_and(|(a, b)| a > b),
        "-ge" => numbers().is_some_and(|(a, b)| a >= b),
        _ => return None,
    })
}

fn unary(host: &ScriptHost<'_, '_>, operator: &str, operand: &str) -> Option<bool> {
    let kind = |path: &str| match host.find(path) {
        Some(Node::Leaf(leaf)) => Some(&leaf.kind),
        _ => None,
    };
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
