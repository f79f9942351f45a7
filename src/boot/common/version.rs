//! The order of kernel versions.

use std::cmp::Ordering;

/// Compares versions as GRUB's `-pgt` does after a common beginning: runs of digits as numbers, all
/// else as text.
pub(in crate::boot) fn by_version(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let ((left, a_rest), (right, b_rest)) = (a.split_at(digits(a)), b.split_at(digits(b)));
        let trim = |text: &[u8]| {
            text.iter()
                .skip_while(|byte| **byte == b'0')
                .copied()
                .collect::<Vec<u8>>()
        };
        let (left, right) = (trim(left), trim(right));
        let order = left
            .len()
            .cmp(&right.len())
            .then(left.cmp(&right))
            .then(a_rest.first().cmp(&b_rest.first()));
        if order != Ordering::Equal || a_rest.is_empty() {
            return order;
        }
        (a, b) = (
            a_rest.get(1..).unwrap_or_default(),
            b_rest.get(1..).unwrap_or_default(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let ordered = [
            "5.10.0-30-amd64",
            "6.1.0-9-amd64",
            "6.1.0-10-amd64",
            "6.1.0-10-cloud-amd64",
            "6.1.0-21-amd64",
            "6.12.1",
        ];
        for pair in ordered.windows(2) {
            assert_eq!(by_version(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(by_version(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(by_version("6.1", "6.1"), Ordering::Equal);
        assert_eq!(by_version("6.01", "6.1"), Ordering::Equal);
        assert_eq!(by_version("6.1", "6.1.1"), Ordering::Less);
    }
}
