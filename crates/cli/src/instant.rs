//! Moments, as annotations have them: RFC 3339.

use ocistow_layout::{Error, Kind, Result};

use crate::speak::Context;

/// The last second that four digits of a year can tell.
const LAST: u64 = 253_402_300_799;

/// The moment that `SOURCE_DATE_EPOCH` gives to all that is made, in seconds since 1970. Usage where it is none.
pub fn epoch(context: &Context<'_>) -> Result<Option<u64>> {
    let Some(given) = &context.world.epoch else { return Ok(None) };
    let seconds = given.to_str().and_then(|text| text.parse().ok()).filter(|seconds| *seconds <= LAST);
    seconds.map(Some).ok_or_else(|| {
        Error::new(Kind::Usage, format!("could not use SOURCE_DATE_EPOCH={:?}", given.to_string_lossy()))
            .because("it is no number of seconds since 1970")
    })
}

/// A moment in UTC.
pub fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (mut year, mut day) = (1970, days);
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let mut month = 1;
    while day >= days_in(year, month) {
        day -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day + 1)
}

/// Whether a text is a moment: `2006-01-02T15:04:05[.999](Z|±07:00)`.
pub fn is_rfc3339(text: &str) -> bool {
    let number = |from: usize, len: usize| -> Option<u64> {
        let digits = text.get(from..from + len).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits?.parse().ok()
    };
    let read = || -> Option<bool> {
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
        let marked = marks.iter().all(|(at, mark)| text.get(*at..at + 1) == Some(mark));
        let right = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        let mut at = 19;
        if text.get(at..)?.starts_with('.') {
            let digits = text[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
            at += 1 + digits;
            digits.checked_sub(1)?;
        }
        let zone = match text.get(at..)? {
            "Z" => true,
            zone => {
                zone.len() == 6
                    && zone.starts_with(['+', '-'])
                    && zone.get(3..4) == Some(":")
                    && number(at + 1, 2)? < 24
                    && number(at + 4, 2)? < 60
            }
        };
        Some(marked && right && hour < 24 && minute < 60 && second < 60 && zone)
    };
    read() == Some(true)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_moments() {
        for (seconds, moment) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), moment);
            assert!(is_rfc3339(moment), "{moment}");
        }
    }

    #[test]
    fn moments_follow_the_grammar() {
        for text in ["2026-01-01T00:00:00Z", "2026-12-31T23:59:59.123456789+05:30", "2024-02-29T00:00:00-00:00"] {
            assert!(is_rfc3339(text), "{text}");
        }
        for text in [
            "",
            "today",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01t00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0530",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Z ",
            "2026-01-01T00:00:00é",
            "+026-01-01T00:00:00Z",
        ] {
            assert!(!is_rfc3339(text), "{text}");
        }
    }
}
