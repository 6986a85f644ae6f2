//! A large text as a result: the message it came in becomes the caller's `String`, without a copy.
//!
//! serde's way to give a text away is `visit_string`, which MessagePack read from a slice never uses. So a type is first
//! asked what it would read: one that wants a string gets that memory, all others read the message as ever.

use std::ops::Range;

use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use crate::bus::Body;
use crate::wire::{CodecError, LARGE, Raw};

/// Reads the value that stands there in a message.
pub(super) fn read<R: DeserializeOwned>(body: Body, value: Range<usize>) -> Result<R, CodecError> {
    let raw = Raw::checked_before(&body[value.clone()]);
    match raw.text_of(LARGE) {
        Some(length) if wants_text::<R>() => {
            let text = Text(body.into_part(value.end - length..value.end));
            R::deserialize(text).map_err(|error| CodecError::Mismatch(error.to_string()))
        }
        _ => raw.to(),
    }
}

fn wants_text<R: DeserializeOwned>() -> bool {
    let mut wanted = false;
    // Nothing can come of it, but for a type that takes an error for an answer.
    drop(R::deserialize(Question { wanted: &mut wanted }));
    wanted
}

/// Notes whether a string is asked for, and gives nothing.
struct Question<'a> {
    wanted: &'a mut bool,
}

impl<'de> Deserializer<'de> for Question<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only asked"))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.wanted = true;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Bytes that should be a text, to be given away.
struct Text(Vec<u8>);

impl<'de> Deserializer<'de> for Text {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match String::from_utf8(self.0) {
            Ok(text) => visitor.visit_string(text),
            // As rmp-serde has it, with its words.
            Err(other) => visitor.visit_bytes(other.as_bytes()).map_err(|_: Error| {
                Error::custom(format_args!("string found to be invalid utf8: {}", other.utf8_error()))
            }),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::borrow::Cow;
    use std::fmt::Debug;

    use serde::Deserialize;

    use super::*;
    use crate::wire::to_vec;

    /// A message with a header, and where its value is.
    fn message(value: &[u8]) -> (Body, Range<usize>) {
        (Body::after([&b"head"[..], b"before", value, b"after"].concat(), 4), 6..6 + value.len())
    }

    fn same<R: DeserializeOwned + PartialEq + Debug>(value: &[u8]) {
        let (body, range) = message(value);
        assert_eq!(read::<R>(body, range), Raw::checked_before(value).to());
    }

    /// Takes an error for an answer.
    #[derive(Debug, PartialEq)]
    struct Lenient(String);

    impl<'de> Deserialize<'de> for Lenient {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            Ok(Self(String::deserialize(from).unwrap_or_default()))
        }
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Choice {
        One,
    }

    #[test]
    fn every_type_reads_what_it_reads_from_the_message() {
        let text = "ä".repeat(LARGE / 2);
        let mut broken = to_vec(&text).unwrap();
        broken[LARGE] = 0xff;
        for value in [to_vec(&text).unwrap(), to_vec("small").unwrap(), broken, to_vec(&vec![1; LARGE]).unwrap()] {
            same::<String>(&value);
            same::<Option<String>>(&value);
            same::<Box<str>>(&value);
            same::<Cow<'static, str>>(&value);
            same::<Lenient>(&value);
            same::<Vec<i64>>(&value);
            same::<serde_json::Value>(&value);
            same::<Choice>(&value);
            same::<()>(&value);
        }
    }

    #[test]
    fn a_large_text_keeps_the_memory_of_its_message() {
        for (length, keeps) in [(LARGE, true), (LARGE - 1, false)] {
            let text = "x".repeat(length);
            let value = to_vec(&text).unwrap();
            let (body, range) = message(&value);
            let memory = body.as_ptr();
            let read: String = read(body, range).unwrap();
            assert!(read == text);
            assert_eq!(read.as_ptr() == memory.wrapping_sub(4), keeps, "{length}");
        }
    }
}
