//! Lengths of time in words.

use std::time::Duration;

/// A length of time as people say it: `0.42 ms`, `35 ms`, `2.1 s`, `4 min 5 s`, `3 h 20 min`, `2 days 7 h`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 if time < Duration::from_millis(1) => format!("{:.2} ms", time.as_secs_f64() * 1e3),
        0 if time < Duration::from_millis(10) => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        0 => format!("{} ms", time.as_millis()),
        1..=59 => format!("{:.1} s", time.as_secs_f64()),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// As [`span`], of milliseconds.
pub(crate) fn span_ms(millis: u64) -> String {
    match millis {
        // A report counts whole milliseconds: `0.00 ms` would claim more than it knows.
        0..=999 => format!("{millis} ms"),
        _ => span(Duration::from_millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_words() {
        for (micros, words) in [
            (0, "0.00 ms"),
            (420, "0.42 ms"),
            (4_200, "4.2 ms"),
            (35_000, "35 ms"),
            (2_100_000, "2.1 s"),
            (245_000_000, "4 min 5 s"),
            (12_000_000_000, "3 h 20 min"),
            (200_000_000_000, "2 days 7 h"),
        ] {
            assert_eq!(span(Duration::from_micros(micros)), words);
        }
        assert_eq!((span_ms(0), span_ms(2100)), ("0 ms".to_owned(), "2.1 s".to_owned()));
    }
}
