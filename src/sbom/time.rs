//! Points in time as text.

/// Seconds since 1970 as `YYYY-MM-DDThh:mm:ssZ` (RFC 3339, section 5.6), as both bills want them.
/// Years before 0 and after 9999 have no such form and become the first or last second that has
/// one.
pub(crate) fn rfc3339(seconds: i64) -> String {
    /// The first second of the year 0 and the last of the year 9999.
    const RANGE: (i64, i64) = (-62_167_219_200, 253_402_300_799);
    const DAY: i64 = 86_400;
    let seconds = seconds.clamp(RANGE.0, RANGE.1);
    let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (
        rest.div_euclid(3600),
        rest.rem_euclid(3600).div_euclid(60),
        rest.rem_euclid(60),
    );
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the Gregorian calendar, of the day that is `days` after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let leap = |year: i64| {
        year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
    };
    // 400 years have 146,097 days.
    let (mut year, mut rest) = (
        days.div_euclid(146_097)
            .saturating_mul(400)
            .saturating_add(1970),
        days.rem_euclid(146_097),
    );
    loop {
        let len = if leap(year) { 366 } else { 365 };
        if rest < len {
            break;
        }
        rest = rest.saturating_sub(len);
        year = year.saturating_add(1);
    }
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, len) in (1..).zip(months) {
        if rest < len {
            return (year, month, rest.saturating_add(1));
        }
        rest = rest.saturating_sub(len);
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_as_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (i64::MIN, "0000-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
