//! Dates and times as FAT stores them: local time without a zone, taken as UTC here.

use crate::tree::Time;

/// Days from 1970-01-01 to this date of the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * shifted + shifted.div_euclid(4) - shifted.div_euclid(100)
        + shifted.div_euclid(400)
        + day_of_year
        - 719_468
}

/// Year, month and day of a day counted from 1970-01-01.
fn date(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted_month + 2) / 5 + 1)
}

/// Seconds of a FAT date and time; a field out of range (month 0) counts as its least value.
pub(super) fn from_dos(day: u16, time: u16) -> Time {
    let (year, month, mday) = (
        i64::from(day >> 9) + 1980,
        i64::from(day >> 5 & 15).clamp(1, 12),
        i64::from(day & 31).max(1),
    );
    let (hour, minute, second) = (
        i64::from(time >> 11),
        i64::from(time >> 5 & 63),
        i64::from(time & 31) * 2,
    );
    Time {
        seconds: days(year, month, mday) * 86_400 + hour * 3600 + minute * 60 + second,
        nanos: 0,
    }
}

/// A time as FAT date and time, cut to 1980..=2107 and even seconds.
pub(super) fn to_dos(time: Time) -> (u16, u16) {
    let (least, most) = (days(1980, 1, 1) * 86_400, days(2108, 1, 1) * 86_400 - 2);
    let seconds = time.seconds.clamp(least, most);
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    let packed_day = ((year - 1980) << 9) | (month << 5) | day;
    let packed_time = ((of_day / 3600) << 11) | ((of_day / 60 % 60) << 5) | (of_day % 60 / 2);
    (
        u16::try_from(packed_day).unwrap_or(u16::MAX),
        u16::try_from(packed_time).unwrap_or(u16::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_even_and_clamped() {
        for (seconds, expected) in [
            (1_700_000_001, 1_700_000_000),
            (951_827_696, 951_827_696), // 29 February 2000
            (0, 315_532_800),
            (5_000_000_000, 4_354_819_198),
            (4_102_444_799, 4_102_444_798), // the last second before 2100, not a leap year
            (4_107_542_400, 4_107_542_400), // 1 March 2100
        ] {
            let (day, time) = to_dos(Time { seconds, nanos: 5 });
            assert_eq!(
                from_dos(day, time),
                Time {
                    seconds: expected,
                    nanos: 0
                },
                "{seconds}"
            );
        }
        assert_eq!(
            to_dos(Time {
                seconds: 315_532_800,
                nanos: 0
            }),
            (0x21, 0)
        );
        assert_eq!(
            from_dos(0, 0),
            Time {
                seconds: 315_532_800,
                nanos: 0
            }
        );
    }
}
