//! Recognises the lines with which programs say why they die.
//!
//! The newest line of standard error is often the least of it: a backtrace ends in its outermost frame, a crash
//! handler says goodbye. What a panic, an uncaught exception or a fatal log line says is the reason people look for.

use std::time::{Duration, Instant};

use memchr::memmem;

use super::chunk::MAX_LINE;

/// A fatal line this long before the end has nothing to do with it: a handler's panic may have been survived.
const FRESH: Duration = Duration::from_secs(10);

/// The longest part of a line that is kept, in bytes.
const MAX_WORDS: usize = 512;

/// What stands in each line that is looked for; a text without any of these holds none.
const MARKS: [&[u8]; 9] = [
    b"panicked at ",
    b"Traceback (most recent call last)",
    b"panic: ",
    b"fatal error: ",
    b"FATAL",
    b"CRITICAL",
    b"Uncaught ",
    b"terminate called ",
    b"Exception in thread ",
];

/// How the next line is read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Reading {
    #[default]
    Anything,
    /// Rust says where it panicked on one line, and why on the next.
    PanicMessage,
    /// Python's frames are indented; the line that ends them names the exception.
    Traceback,
}

/// The best line of what one process wrote to standard error.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    reading: Reading,
    fatal: Option<(String, Instant)>,
}

impl LastWords {
    /// Takes in some whole lines.
    pub(super) fn hear(&mut self, text: &[u8], now: Instant) {
        // Nearly all there ever is; a flood of errors costs a few scans.
        if self.reading == Reading::Anything && !MARKS.iter().any(|mark| memmem::find(text, mark).is_some()) {
            return;
        }
        for line in text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n') {
            self.hear_line(&line[..line.len().min(MAX_LINE)], now);
        }
    }

    /// The fatal line, where one was said so lately that it may be why the process ended.
    pub(super) fn fatal(&self, now: Instant) -> Option<&str> {
        let (line, at) = self.fatal.as_ref()?;
        (now.saturating_duration_since(*at) < FRESH).then_some(line)
    }

    fn hear_line(&mut self, line: &[u8], now: Instant) {
        let line = line.trim_ascii_end();
        match std::mem::take(&mut self.reading) {
            Reading::PanicMessage => {
                if let Some((fatal, _)) = &mut self.fatal {
                    fatal.push(' ');
                    fatal.push_str(&clip(line));
                }
                return;
            }
            Reading::Traceback if line.is_empty() || line[0].is_ascii_whitespace() => {
                self.reading = Reading::Traceback;
                return;
            }
            Reading::Traceback if !line.starts_with(b"Traceback ") => {
                self.fatal = Some((clip(line), now));
                return;
            }
            _ => {}
        }
        if line.starts_with(b"Traceback (most recent call last)") {
            self.reading = Reading::Traceback;
        } else if is_fatal(line) {
            if line.starts_with(b"thread '") && line.ends_with(b":") {
                self.reading = Reading::PanicMessage;
            }
            self.fatal = Some((clip(line), now));
        }
    }
}

fn is_fatal(line: &[u8]) -> bool {
    let starts = |start: &[u8]| line.starts_with(start);
    (starts(b"thread '") && memmem::find(line, b" panicked at ").is_some())
        || [&b"panic: "[..], b"fatal error: ", b"Uncaught ", b"terminate called ", b"Exception in thread "]
            .iter()
            .any(|start| line.starts_with(start))
        || has_word(line, b"FATAL")
        || has_word(line, b"CRITICAL")
}

/// Whether a level of a log stands in the line, as a word of its own.
fn has_word(line: &[u8], word: &[u8]) -> bool {
    memmem::find_iter(line, word).any(|at| {
        let letter = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        !letter(at.checked_sub(1).and_then(|before| line.get(before))) && !letter(line.get(at + word.len()))
    })
}

/// The start of a line, as text.
pub(super) fn clip(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(MAX_WORDS)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str) -> Option<String> {
        let mut words = LastWords::default();
        let now = Instant::now();
        // However it is cut, as long as lines stay whole.
        text.split_inclusive('\n').for_each(|line| words.hear(line.as_bytes(), now));
        let mut at_once = LastWords::default();
        at_once.hear(text.as_bytes(), now);
        assert_eq!(words.fatal(now), at_once.fatal(now));
        assert_eq!(words.fatal(now + FRESH), None);
        words.fatal(now).map(str::to_owned)
    }

    #[test]
    fn the_reason_is_found_among_what_else_is_said() {
        for (text, expected) in [
            (
                "start\nthread 'main' panicked at src/main.rs:2:5:\nout of cheese\nnote: run with `RUST_BACKTRACE=1`\n",
                "thread 'main' panicked at src/main.rs:2:5: out of cheese",
            ),
            (
                "thread 'a b' (4711) panicked at src/x.rs:1:1:\nindex out of bounds\nstack backtrace:\n   0: x\n",
                "thread 'a b' (4711) panicked at src/x.rs:1:1: index out of bounds",
            ),
            ("thread 'main' panicked at 'old style', a.rs:1:1\n", "thread 'main' panicked at 'old style', a.rs:1:1"),
            (
                "Traceback (most recent call last):\n  File \"x.py\", line 1\n    x()\nKeyError: 'y'\n\nDuring handling \
                of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File\n\
                ValueError: no\nbye\n",
                "ValueError: no",
            ),
            ("panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:3\nexit status 2\n", "panic: no"),
            (
                "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1\n",
                "fatal error: all goroutines are asleep - deadlock!",
            ),
            ("2026-11-22 FATAL: no such role\nshutting down\n", "2026-11-22 FATAL: no such role"),
            (
                "terminate called after throwing an instance of 'int'\n",
                "terminate called after throwing an instance of 'int'",
            ),
        ] {
            assert_eq!(heard(text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn ordinary_words_are_no_reason() {
        for text in ["", "\n", "NONFATAL\n", "all FATALITIES\n", "it panicked at last\n", "the panic: none\n", "x\n"]
        {
            assert_eq!(heard(text), None, "{text:?}");
        }
    }

    #[test]
    fn words_are_bounded() {
        let mut words = LastWords::default();
        let now = Instant::now();
        words.hear(&[b"panic: ".as_slice(), &[0xff; 100_000]].concat(), now);
        assert!(words.fatal(now).unwrap().chars().count() <= MAX_WORDS);
        for _ in 0..1000 {
            words.hear(format!("thread 'x' panicked at x:1:1:\n{}\n", "y".repeat(5000)).as_bytes(), now);
        }
        assert!(words.fatal(now).unwrap().len() < 3 * MAX_WORDS);
    }
}
