//! `test` and `[`, for conditions on values.

use crate::shell::ExitStatus;

/// The status of `test` with these arguments; `None` for what is not known without the files of the
/// machine that the converter runs on.
pub(super) fn test(arguments: &[String]) -> Option<ExitStatus> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let holds = match words.as_slice() {
        [] => false,
        ["!", rest @ ..] => {
            let rest: Vec<String> = rest.iter().map(|word| (*word).to_owned()).collect();
            return test(&rest).map(|status| i32::from(status == 0));
        }
        [text] => !text.is_empty(),
        ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        [a, "=" | "==", b] => a == b,
        [a, "!=", b] => a != b,
        [a, sign, b] => {
            let (a, b): (i64, i64) = (a.parse().ok()?, b.parse().ok()?);
            match *sign {
                "-eq" => a == b,
                "-ne" => a != b,
                "-lt" => a < b,
                "-le" => a <= b,
                "-gt" => a > b,
                "-ge" => a >= b,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(i32::from(!holds))
}

#[cfg(test)]
mod tests {
    #[test]
    fn conditions_on_values_are_evaluated_and_others_are_not() {
        let test = |line: &str| {
            let words: Vec<String> = line.split('_').map(str::to_owned).collect();
            super::test(&words)
        };
        assert_eq!(test("a_=_a"), Some(0));
        assert_eq!(test("a_==_b"), Some(1));
        assert_eq!(test("!_a_!=_a"), Some(0));
        assert_eq!(test("-z_"), Some(0));
        assert_eq!(test("-n_"), Some(1));
        assert_eq!(test("3_-gt_2"), Some(0));
        assert_eq!(test("x_-gt_2"), None);
        assert_eq!(test("-f_/etc/passwd"), None);
        assert_eq!(test("a_-a_b"), None);
    }
}
