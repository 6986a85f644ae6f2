//! What a message is made of, read in the order it stands: fields, elements, and fields that may stand once.

use rmp::Marker;

use super::codec::{CodecError, MAX_DEPTH, Raw, step, value_length, value_length_within};

/// The fields of a map with string keys, in the order they stand.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// How many keys and values are still to come.
    left: u64,
}

impl<'a> Fields<'a> {
    pub(super) fn of(map: Raw<'a>) -> Result<Self, CodecError> {
        Self::of_message(map.0)
    }

    /// The fields of a message that nobody has walked before: that is done on the way, and no byte walked twice.
    ///
    /// Only who has come to the end without an error knows that it is one whole map.
    pub(super) fn of_message(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let (head, left) = step(bytes, 0)?;
        match Marker::from_u8(bytes[0]) {
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => Ok(Self { rest: &bytes[head..], left }),
            _ => Err(CodecError::Expected("a map with names")),
        }
    }

    /// Refuses what is no map with names, wherever serde would take positions for them.
    pub(super) fn check(map: Raw<'a>) -> Result<(), CodecError> {
        Self::of(map)?.try_for_each(|field| field.map(drop))
    }

    /// The next key and value, whatever the key is; `None` at the end.
    pub(super) fn pair(&mut self) -> Option<(Raw<'a>, Raw<'a>)> {
        self.more().ok()?.then_some(())?;
        Some((self.value().ok()?, self.value().ok()?))
    }

    fn value(&mut self) -> Result<Raw<'a>, CodecError> {
        // The map itself is one level.
        let (value, rest) = self.rest.split_at(value_length_within(self.rest, MAX_DEPTH - 1)?);
        self.rest = rest;
        Ok(Raw(value))
    }

    /// Whether there is one more pair; an error where there is none and something follows.
    fn more(&mut self) -> Result<bool, CodecError> {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(2);
        if more || self.rest.is_empty() { Ok(more) } else { Err(CodecError::Trailing(self.rest.len())) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(&'a str, Raw<'a>), CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.more() {
            Ok(true) => {
                let mut field = || Ok((self.value()?.str()?, self.value()?));
                Some(field())
            }
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// The values of an array, in their order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(super) fn of(array: Raw<'a>) -> Result<Self, CodecError> {
        let head = match Marker::from_u8(array.0[0]) {
            Marker::FixArray(_) => 1,
            Marker::Array16 => 3,
            Marker::Array32 => 5,
            _ => return Err(CodecError::Expected("an array")),
        };
        Ok(Self { rest: &array.0[head..] })
    }

    /// Values one after the other, which were checked before.
    pub(super) fn in_row(values: &'a [u8]) -> Self {
        Self { rest: values }
    }

    /// The bytes of what is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        // It was walked as a part of its message: what is left begins with a whole value, or is nothing.
        let (value, rest) = self.rest.split_at_checked(value_length(self.rest).ok()?)?;
        self.rest = rest;
        Some(Raw(value))
    }
}

/// A field that may stand once: two of them could be read differently by two implementations.
pub(super) struct Once<T> {
    name: &'static str,
    value: Option<T>,
}

impl<T> Once<T> {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, value: None }
    }

    pub(super) fn set(&mut self, value: T) -> Result<(), CodecError> {
        match self.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(CodecError::Twice(self.name)),
        }
    }

    pub(super) fn get(self) -> Option<T> {
        self.value
    }

    pub(super) fn need(self) -> Result<T, CodecError> {
        self.value.ok_or(CodecError::Missing(self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::to_vec;
    use super::*;

    #[test]
    fn a_message_is_walked_as_its_fields_are_read_and_no_less_is_refused() {
        let read = |bytes: &[u8]| Fields::of_message(bytes)?.try_for_each(|field| field.map(drop));
        let message = to_vec(&serde_json::json!({"a": [1, "two", {"b": 3.5}], "c": "four", "d": null})).unwrap();
        assert_eq!(read(&message), Ok(()));
        assert_eq!(read(&[message.as_slice(), &[0]].concat()), Err(CodecError::Trailing(1)));
        for cut in 0..message.len() {
            assert_eq!(read(&message[..cut]), Err(CodecError::Truncated), "cut at {cut}");
        }
        for at in 0..message.len() {
            for byte in 0..=u8::MAX {
                let mut changed = message.clone();
                changed[at] = byte;
                let whole = Raw::new(&changed).and_then(Fields::check);
                assert_eq!(read(&changed).is_ok(), whole.is_ok(), "{byte} at {at}: {whole:?}");
            }
        }
        let nested = |levels: usize| [&[0x81, 0xa1, b'a'][..], &vec![0x91; levels], &[0xc0]].concat();
        assert_eq!(read(&nested(MAX_DEPTH - 1)), Ok(()));
        assert_eq!(read(&nested(MAX_DEPTH)), Err(CodecError::TooDeep));
        assert_eq!(Raw::new(&nested(MAX_DEPTH)), Err(CodecError::TooDeep));
    }
}
