//! Dates of repositories, as seconds since 1970 and as text.

/// Seconds of a day.
pub(super) const DAY: u64 = 24 * 60 * 60;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A time as messages show it: `2026-10-01 12:30:00 UTC`. `seconds` are those since 1970.
#[must_use]
pub fn utc(seconds: u64) -> String {
    let (days, time) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

/// Reads a date as repositories write it: `Sat, 14 Jun 2025 08:20:03 UTC`. `None` for any other
/// text, for years outside 1970 to 9999 and for other zones than UTC.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = match text.split_once(',') {
        Some((_, rest)) => rest,
        None => text,
    };
    let mut words = text.split_whitespace();
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS
        .iter()
        .position(|month| month.eq_ignore_ascii_case(name))?;
    let month = u64::try_from(month).ok()?.checked_add(1)?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words
        .next()?
        .split(':')
        .map(|part| part.parse::<u64>().ok());
    let (hour, minute) = (clock.next()??, clock.next()??);
    let second = clock.next().unwrap_or(Some(0))?;
    let zone = words.next()?;
    let fits = (1970..=9999).contains(&year)
        && (1..=days_of(year, month)?).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && ["UTC", "GMT", "Z", "+0000", "-0000"].contains(&zone)
        && clock.next().is_none()
        && words.next().is_none();
    if !fits {
        return None;
    }
    let time = hour
        .checked_mul(3600)?
        .checked_add(minute.checked_mul(60)?)?;
    days_until(year, month, day)?
        .checked_mul(DAY)?
        .checked_add(time)?
        .checked_add(second)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64, month: u64) -> Option<u64> {
    Some(match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    })
}

/// Days from 1970-01-01 to this day.
fn days_until(year: u64, month: u64, day: u64) -> Option<u64> {
    let mut days = day.checked_sub(1)?;
    for other in 1970..year {
        days = days.checked_add(if is_leap(other) { 366 } else { 365 })?;
    }
    for other in 1..month {
        days = days.checked_add(days_of(year, other)?)?;
    }
    Some(days)
}

/// Year, month and day that are `days` after 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970_u64;
    // Beyond any date that is met; bounds the loop.
    while year < 9999 {
        let length = if is_leap(year) { 366 } else { 365 };
        let Some(rest) = days.checked_sub(length) else {
            break;
        };
        days = rest;
        year = year.saturating_add(1);
    }
    for month in 1..=12 {
        let length = days_of(year, month).unwrap_or(31);
        match days.checked_sub(length) {
            Some(rest) if month < 12 => days = rest,
            // Later than the last year: its last day.
            _ => return (year, month, days.min(30).saturating_add(1)),
        }
    }
    (year, 12, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_there_and_back() {
        // Seconds by `date -u -d TEXT +%s`.
        for (text, seconds, shown) in [
            (
                "Thu, 01 Jan 1970 00:00:00 UTC",
                0,
                "1970-01-01 00:00:00 UTC",
            ),
            (
                "Sat, 14 Jun 2025 08:20:03 UTC",
                1_749_889_203,
                "2025-06-14 08:20:03 UTC",
            ),
            (
                "Tue, 29 Feb 2028  9:05:00 +0000",
                1_835_427_900,
                "2028-02-29 09:05:00 UTC",
            ),
            (
                "1 Oct 2026 23:59 GMT",
                1_790_899_140,
                "2026-10-01 23:59:00 UTC",
            ),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
            assert_eq!(utc(seconds), shown);
        }
        for bad in [
            "",
            "Sat, 14 Jun 2025 08:20:03",
            "Sat, 14 Jun 2025 08:20:03 CEST",
            "Sat, 31 Jun 2025 08:20:03 UTC",
            "Sat, 0 Jun 2025 08:20:03 UTC",
            "Sat, 14 Jun 1969 08:20:03 UTC",
            "Sat, 14 Jun 99999 08:20:03 UTC",
            "Sat, 14 Jun 2025 24:20:03 UTC",
            "Sat, 14 Jun 2025 08:20:03 UTC x",
            "2025-06-14 08:20:03 UTC",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert!(utc(u64::MAX).starts_with("9999-12-31 "));
    }
}
