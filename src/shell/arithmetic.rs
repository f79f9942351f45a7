//! Arithmetic expansion: expressions of integers, without assignments.

/// Operators of two operands, those that bind weakest first; of one start, the longest first.
const LEVELS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];
/// How deep parentheses, signs and conditions may nest.
const MAX_DEPTH: usize = 40;

/// The value of an expression; `None` if it is not understood.
pub(super) fn arithmetic(text: &str, variable: &dyn Fn(&str) -> String) -> Option<i64> {
    let mut reader = Reader {
        rest: text,
        variable,
        depth: 0,
    };
    let value = reader.condition()?;
    reader.rest.trim().is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
    variable: &'a dyn Fn(&str) -> String,
    depth: usize,
}

impl Reader<'_> {
    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(text) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    /// `a ? b : c`.
    fn condition(&mut self) -> Option<i64> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let value = self.condition_within();
        self.depth -= 1;
        value
    }

    fn condition_within(&mut self) -> Option<i64> {
        let test = self.level(0)?;
        if !self.eat("?") {
            return Some(test);
        }
        let yes = self.condition()?;
        if !self.eat(":") {
            return None;
        }
        let no = self.condition()?;
        Some(if test == 0 { no } else { yes })
    }

    fn operator(&mut self, level: usize) -> Option<&'static str> {
        let rest = self.rest.trim_start();
        // The longest operator there is at this place decides its level.
        let longest = LEVELS
            .iter()
            .flat_map(|level| level.iter())
            .filter(|operator| rest.starts_with(**operator))
            .max_by_key(|operator| operator.len())?;
        LEVELS.get(level)?.contains(longest).then(|| {
            self.eat(longest);
            *longest
        })
    }

    fn level(&mut self, level: usize) -> Option<i64> {
        if level == LEVELS.len() {
            return self.operand();
        }
        let mut left = self.level(level + 1)?;
        while let Some(operator) = self.operator(level) {
            let right = self.level(level + 1)?;
            let shift = || u32::try_from(right).ok();
            left = match operator {
                "||" => i64::from(left != 0 || right != 0),
                "&&" => i64::from(left != 0 && right != 0),
                "|" => left | right,
                "^" => left ^ right,
                "&" => left & right,
                "==" => i64::from(left == right),
                "!=" => i64::from(left != right),
                "<=" => i64::from(left <= right),
                ">=" => i64::from(left >= right),
                "<" => i64::from(left < right),
                ">" => i64::from(left > right),
                "<<" => left.checked_shl(shift()?)?,
                ">>" => left.checked_shr(shift()?)?,
                "+" => left.checked_add(right)?,
                "-" => left.checked_sub(right)?,
                "*" => left.checked_mul(right)?,
                "/" => left.checked_div(right)?,
                _ => left.checked_rem(right)?,
            };
        }
        Some(left)
    }

    fn operand(&mut self) -> Option<i64> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let value = self.operand_within();
        self.depth -= 1;
        value
    }

    fn operand_within(&mut self) -> Option<i64> {
        if self.eat("(") {
            let value = self.condition()?;
            return self.eat(")").then_some(value);
        }
        if self.eat("-") {
            return self.operand()?.checked_neg();
        }
        if self.eat("+") {
            return self.operand();
        }
        if self.eat("!") {
            return Some(i64::from(self.operand()? == 0));
        }
        if self.eat("~") {
            return Some(!self.operand()?);
        }
        let rest = self.rest.trim_start();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let (term, after) = rest.split_at(end);
        self.rest = after;
        match term.chars().next()? {
            c if c.is_ascii_digit() => number(term),
            _ => match (self.variable)(term).trim() {
                "" => Some(0),
                value => number(value.strip_prefix('-').unwrap_or(value)).map(|number| {
                    if value.starts_with('-') {
                        -number
                    } else {
                        number
                    }
                }),
            },
        }
    }
}

/// A number: decimal, after `0` octal, after `0x` hexadecimal.
fn number(text: &str) -> Option<i64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return i64::from_str_radix(digits, 16).ok();
    }
    match text.strip_prefix('0').filter(|digits| !digits.is_empty()) {
        Some(digits) => i64::from_str_radix(digits, 8).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::arithmetic;

    #[test]
    fn expressions() {
        let variable = |name: &str| match name {
            "n" => "-7".to_owned(),
            _ => String::new(),
        };
        for (text, value) in [
            ("3*4+1", Some(13)),
            ("1 + 2 * (3 - 1) % 3", Some(2)),
            ("n + 1", Some(-6)),
            ("unset", Some(0)),
            ("1 << 4 | 1", Some(17)),
            ("3 >= 2 && 1 != 1", Some(0)),
            ("1 ? 2 : 3", Some(2)),
            ("010 + 0x10", Some(24)),
            ("-(-3)", Some(3)),
            ("!0 + ~0", Some(0)),
            ("1 +", None),
            ("1 / 0", None),
            ("x = 3", None),
            ("08", None),
            ("9223372036854775807 + 1", None),
        ] {
            assert_eq!(arithmetic(text, &variable), value, "{text}");
        }
        for deep in ["(", "-", "1?", "1?1:", "!~"] {
            let text = deep.repeat(10_000) + "1";
            assert_eq!(arithmetic(&text, &variable), None, "{deep}");
        }
    }
}
