//! MessagePack as JSON, any of it.
//!
//! What JSON has no word for is written so that it can be told: bytes as `{"$binary": BASE64}`, an extension as
//! `{"$ext": [TYPE, BASE64]}`, numbers that are none as `"NaN"`, `"Infinity"` and `"-Infinity"`. A key that is a
//! number, a truth value or nil becomes its own text, any other key that is no text `$msgpack:` and BASE64.
//! Values are written as they are read, so a result costs no more memory than its bytes.

use std::io::{self, Write};

use plugbus::wire::Raw;

use super::token::{Reader, Token};

/// A container that is not longer than this, on one line, is written on one line.
const LINE: usize = 80;

/// How a value is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// No spaces, for programs.
    Tight,
    /// One line with spaces, for people.
    Line,
    /// An entry a line, save what is short.
    Spread,
}

/// Writes a value on one line.
pub(super) fn write(out: &mut dyn Write, value: &[u8]) -> io::Result<()> {
    Writer { out, layout: Layout::Tight }.whole(value)
}

/// Writes a value for people: short containers on a line, the others spread out.
pub(super) fn write_pretty(out: &mut dyn Write, value: &[u8]) -> io::Result<()> {
    Writer { out, layout: Layout::Spread }.whole(value)
}

/// A value on one line; `None` for what is no MessagePack.
pub(super) fn compact(value: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    write(&mut out, value).ok()?;
    String::from_utf8(out).ok()
}

struct Writer<'o> {
    out: &'o mut dyn Write,
    layout: Layout,
}

impl Writer<'_> {
    /// Checks all of the value first: that bounds how deep the writing recurses.
    fn whole(&mut self, value: &[u8]) -> io::Result<()> {
        let mut from = Reader::new(Raw::new(value).map_err(io::Error::other)?);
        self.value(&mut from, 0)
    }

    fn value(&mut self, from: &mut Reader<'_>, depth: usize) -> io::Result<()> {
        let start = *from;
        match from.token().ok_or(io::ErrorKind::UnexpectedEof)? {
            Token::Nil => write!(self.out, "null"),
            Token::Bool(value) => write!(self.out, "{value}"),
            Token::Unsigned(number) => write!(self.out, "{number}"),
            Token::Signed(number) => write!(self.out, "{number}"),
            Token::Float(number) => self.float(number),
            Token::Text(text) => self.text(&String::from_utf8_lossy(text)),
            Token::Binary(bytes) => write!(self.out, "{{\"$binary\":\"{}\"}}", base64(bytes)),
            Token::Ext(kind, bytes) => write!(self.out, "{{\"$ext\":[{kind},\"{}\"]}}", base64(bytes)),
            Token::Array(0) => write!(self.out, "[]"),
            Token::Map(0) => write!(self.out, "{{}}"),
            Token::Array(count) => self.container(start, from, depth, |writer, from, depth| {
                writer.entries(['[', ']'], count, depth, |writer| writer.value(from, depth))
            }),
            Token::Map(count) => self.container(start, from, depth, |writer, from, depth| {
                writer.entries(['{', '}'], count, depth, |writer| writer.field(from, depth))
            }),
        }
    }

    /// Writes a container on one line if it fits, else with `spread`.
    fn container<'a>(
        &mut self,
        start: Reader<'a>,
        from: &mut Reader<'a>,
        depth: usize,
        spread: impl FnOnce(&mut Self, &mut Reader<'a>, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.layout == Layout::Spread {
            let mut line = Short(Vec::with_capacity(LINE));
            let mut ahead = start;
            if (Writer { out: &mut line, layout: Layout::Line }).value(&mut ahead, depth).is_ok() {
                *from = ahead;
                return self.out.write_all(&line.0);
            }
        }
        spread(self, from, depth + 1)
    }

    fn entries(
        &mut self,
        [open, close]: [char; 2],
        count: u64,
        depth: usize,
        mut entry: impl FnMut(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        let comma = if self.layout == Layout::Line { ", " } else { "," };
        write!(self.out, "{open}")?;
        for index in 0..count {
            write!(self.out, "{}", if index > 0 { comma } else { "" })?;
            self.new_line(depth)?;
            entry(self)?;
        }
        self.new_line(depth - 1)?;
        write!(self.out, "{close}")
    }

    fn field(&mut self, from: &mut Reader<'_>, depth: usize) -> io::Result<()> {
        self.key(from)?;
        write!(self.out, "{}", if self.layout == Layout::Tight { ":" } else { ": " })?;
        self.value(from, depth)
    }

    fn key(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        // A container's JSON inside a text would double its quotes with every level.
        let raw = from.skip().ok_or(io::ErrorKind::UnexpectedEof)?;
        match Token::only(raw) {
            Some(Token::Text(text)) => self.text(&String::from_utf8_lossy(text)),
            Some(Token::Nil) => self.text("null"),
            Some(Token::Bool(value)) => self.text(&value.to_string()),
            Some(Token::Unsigned(number)) => self.text(&number.to_string()),
            Some(Token::Signed(number)) => self.text(&number.to_string()),
            Some(Token::Float(number)) => self.text(&number.to_string()),
            _ => write!(self.out, "\"$msgpack:{}\"", base64(raw)),
        }
    }

    fn new_line(&mut self, depth: usize) -> io::Result<()> {
        match self.layout {
            Layout::Spread => write!(self.out, "\n{:indent$}", "", indent = 2 * depth),
            Layout::Tight | Layout::Line => Ok(()),
        }
    }

    fn float(&mut self, number: f64) -> io::Result<()> {
        if number.is_nan() {
            write!(self.out, "\"NaN\"")
        } else if number.is_infinite() {
            write!(self.out, "\"{}Infinity\"", if number < 0.0 { "-" } else { "" })
        } else {
            Ok(serde_json::to_writer(&mut *self.out, &number)?)
        }
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        Ok(serde_json::to_writer(&mut *self.out, text)?)
    }
}

/// Takes one line and no more.
struct Short(Vec<u8>);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LINE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(group.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * at) & 63]);
            text.push(if at <= group.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use plugbus::wire::{MAX_DEPTH, to_vec};
    use serde_json::json;

    use super::*;

    fn tight(value: &[u8]) -> String {
        compact(value).unwrap()
    }

    fn pretty(value: &[u8]) -> String {
        let mut out = Vec::new();
        write_pretty(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_json_knows_survives() {
        let value = json!({"a": [1, -2, 1.5, 0.1, true, null, "x\n\"é"], "b": {"c": [], "d": {}}, "e": u64::MAX});
        let bytes = to_vec(&value).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&tight(&bytes)).unwrap(), value);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&pretty(&bytes)).unwrap(), value);
    }

    #[test]
    fn what_json_does_not_know_can_be_told() {
        for (bytes, text) in [
            (&[0xc4, 2, 0, 0xff][..], r#"{"$binary":"AP8="}"#),
            (&[0xd6, 0xff, 0, 0, 0, 0], r#"{"$ext":[-1,"AAAAAA=="]}"#),
            (&[0xa2, 0xff, b'x'], "\"\u{fffd}x\""),
            (&[0xca, 0x7f, 0xc0, 0, 0], r#""NaN""#),
            (&[0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0], r#""-Infinity""#),
            (&[0x82, 1, 2, 0xc0, 0xc3], r#"{"1":2,"null":true}"#),
            (&[0x81, 0x91, 1, 2], r#"{"$msgpack:kQE=":2}"#),
        ] {
            assert_eq!(tight(bytes), text);
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn short_containers_stay_on_a_line() {
        let long = "x".repeat(LINE);
        let bytes = to_vec(&json!([{"a": 1, "b": [2, 3]}, [long]])).unwrap();
        assert_eq!(pretty(&bytes), format!("[\n  {{\"a\": 1, \"b\": [2, 3]}},\n  [\n    \"{long}\"\n  ]\n]"));
    }

    #[test]
    fn garbage_is_an_error_and_depth_is_bounded() {
        assert_eq!(compact(&[]), None);
        assert_eq!(compact(&[0xc1]), None);
        assert_eq!(compact(&[0xdd, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(compact(&[vec![0x91; MAX_DEPTH + 1], vec![1]].concat()), None);
        pretty(&[vec![0x91; MAX_DEPTH], vec![1]].concat());
        // A map that is a key of a map that is a key of a map.
        let keys = [vec![0x81; MAX_DEPTH], vec![0xa1, b'"'], vec![1; MAX_DEPTH]].concat();
        assert!(tight(&keys).len() < 1000);
    }

    #[test]
    fn base64_of_every_length() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
