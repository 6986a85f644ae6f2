//! MessagePack, read without trust and written without copies.
//!
//! A message is first walked, iteratively and with a depth limit, so that nothing that follows can be made to
//! recurse or to allocate by what a stranger sent; only then is a value given to serde.

use rmp::Marker;
use serde::{Deserialize, Serialize};

/// The largest message, in bytes, in either direction: 16 MiB.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// From here on, in bytes, memory is worth being used again, and a text being sent and read without a copy: measured.
#[cfg(any(target_os = "linux", feature = "host", feature = "plugin"))]
pub(crate) const LARGE: usize = 64 * 1024;

/// How deep arrays and maps may nest. A JSON document by hand is rarely deeper than 20.
pub const MAX_DEPTH: usize = 128;

/// Why bytes are not a message, or a value not bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end in the middle of a value.
    #[error("the MessagePack ends too early")]
    Truncated,
    /// There are bytes after the value.
    #[error("{0} bytes follow the MessagePack value")]
    Trailing(usize),
    /// Arrays and maps nest deeper than [`MAX_DEPTH`].
    #[error("the MessagePack nests deeper than {MAX_DEPTH}")]
    TooDeep,
    /// The byte 0xc1, which MessagePack never uses.
    #[error("0xc1 is not MessagePack")]
    Reserved,
    /// Something else stands where the protocol wants a certain type.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A field that the message must have is not there.
    #[error("the field {0:?} is missing")]
    Missing(&'static str),
    /// A field stands twice in one message.
    #[error("the field {0:?} stands twice")]
    Twice(&'static str),
    /// The sender speaks another protocol version.
    #[error("protocol {0} is not spoken here, this is protocol {ours}", ours = super::PROTOCOL)]
    Version(u64),
    /// The value does not fit the type that is wanted.
    #[error("{0}")]
    Mismatch(String),
}

/// One complete, checked MessagePack value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(pub(super) &'a [u8]);

impl<'a> Raw<'a> {
    /// The value nil, which stands for a parameter or result that is left out.
    pub const NIL: Raw<'static> = Raw(&[0xc0]);

    /// Takes bytes that are exactly one value, no deeper than [`MAX_DEPTH`].
    ///
    /// # Errors
    /// [`CodecError`] for anything else; costs one pass and no memory.
    pub fn new(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let length = value_length(bytes)?;
        match bytes.len() - length {
            0 => Ok(Self(bytes)),
            extra => Err(CodecError::Trailing(extra)),
        }
    }

    /// Where in the message this value stands; `None` for one that was cut from no message.
    #[cfg(any(feature = "host", feature = "plugin"))]
    pub(crate) fn range_in(self, message: &[u8]) -> Option<std::ops::Range<usize>> {
        let start = (self.0.as_ptr() as usize).checked_sub(message.as_ptr() as usize)?;
        let range = start..start + self.0.len();
        (range.end <= message.len()).then_some(range)
    }

    /// Takes bytes that were a `Raw` before: they are not walked again.
    #[cfg(any(feature = "host", feature = "plugin"))]
    pub(crate) fn checked_before(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes of the value.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Reads the value as a type of yours.
    ///
    /// # Errors
    /// [`CodecError::Mismatch`] says what was expected and what was found.
    pub fn to<T: Deserialize<'a>>(self) -> Result<T, CodecError> {
        let mut decoder = rmp_serde::Deserializer::from_read_ref(self.0);
        // The walk has bounded the depth; twice that leaves room for serde's own nesting (enums, newtypes).
        decoder.set_max_depth(2 * MAX_DEPTH);
        T::deserialize(&mut decoder).map_err(|error| CodecError::Mismatch(plain(&error)))
    }

    /// The text of a string, or of bytes that are one: some libraries write nothing else.
    pub(super) fn str(self) -> Result<&'a str, CodecError> {
        let head = match self.marker() {
            Marker::FixStr(_) => 1,
            Marker::Str8 | Marker::Bin8 => 2,
            Marker::Str16 | Marker::Bin16 => 3,
            Marker::Str32 | Marker::Bin32 => 5,
            _ => return Err(CodecError::Expected("a string")),
        };
        let text = self.0.get(head..).and_then(|text| std::str::from_utf8(text).ok());
        text.ok_or(CodecError::Expected("a string"))
    }

    /// How long the text is that this value is, where it is as long as that at least.
    #[cfg(feature = "host")]
    pub(crate) fn text_of(self, least: usize) -> Option<usize> {
        let length = self.0.len().checked_sub(5).filter(|length| *length >= least)?;
        (self.marker() == Marker::Str32).then_some(length)
    }

    pub(super) fn bool(self) -> Result<bool, CodecError> {
        self.to().map_err(|_| CodecError::Expected("true or false"))
    }

    pub(super) fn uint(self) -> Result<u64, CodecError> {
        match self.marker() {
            Marker::FixPos(value) => Ok(value.into()),
            Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => Ok(big_endian(&self.0[1..])),
            // A signed type may hold one as well.
            _ => self.to().map_err(|_| CodecError::Expected("an unsigned integer")),
        }
    }

    fn marker(self) -> Marker {
        Marker::from_u8(self.0[0])
    }
}

/// serde's words without rmp's own wrapping, which means nothing to a plugin author.
fn plain(error: &rmp_serde::decode::Error) -> String {
    use rmp_serde::decode::Error;
    match error {
        Error::TypeMismatch(marker) => format!("unexpected type {marker:?}"),
        Error::Syntax(text) | Error::Uncategorized(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Encodes a value as MessagePack, structs as maps with names.
///
/// # Errors
/// [`CodecError::Mismatch`] where the type's own serialisation fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    append(&mut out, value)?;
    Ok(out)
}

/// Decodes exactly one value.
///
/// # Errors
/// [`CodecError`] where the bytes are not one value, nest too deep, or do not fit the type.
pub fn from_slice<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    Raw::new(bytes)?.to()
}

pub(super) fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), CodecError> {
    let mut encoder = rmp_serde::Serializer::new(out).with_struct_map();
    value.serialize(&mut encoder).map_err(|error| CodecError::Mismatch(error.to_string()))
}

/// The length of the first value in `bytes`, walked without recursion.
pub(super) fn value_length(bytes: &[u8]) -> Result<usize, CodecError> {
    value_length_within(bytes, MAX_DEPTH)
}

/// As [`value_length`], of a value that may nest only so deep.
pub(super) fn value_length_within(bytes: &[u8], depth: usize) -> Result<usize, CodecError> {
    match step(bytes, 0)? {
        // Most values hold no others; room for their levels would cost more than all the rest.
        (length, 0) => Ok(length),
        (head, children) => walk(bytes, head, children, depth),
    }
}

/// The end of a value that holds `children` others, the first of them at `at`.
fn walk(bytes: &[u8], mut at: usize, children: u64, depth: usize) -> Result<usize, CodecError> {
    // What is still to come on each level; a map counts twice. The walk ends when level 0 is done.
    let mut pending = [0u64; MAX_DEPTH + 1];
    pending[1] = children;
    let mut level = 1;
    loop {
        while pending[level] == 0 {
            if level == 0 {
                return Ok(at);
            }
            level -= 1;
        }
        pending[level] -= 1;
        let children;
        (at, children) = step(bytes, at)?;
        if children > 0 {
            level += 1;
            *pending[..=depth].get_mut(level).ok_or(CodecError::TooDeep)? = children;
        }
    }
}

/// Past the head of the value at `at`, and its own bytes: where that ends, and how many values it holds.
pub(super) fn step(bytes: &[u8], at: usize) -> Result<(usize, u64), CodecError> {
    let marker = Marker::from_u8(*bytes.get(at).ok_or(CodecError::Truncated)?);
    let (skip, children) = extent(marker, bytes.get(at + 1..).unwrap_or_default())?;
    let end = (at + 1).checked_add(skip).filter(|end| *end <= bytes.len()).ok_or(CodecError::Truncated)?;
    Ok((end, children))
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// How many bytes of its own follow a marker, and how many values.
fn extent(marker: Marker, rest: &[u8]) -> Result<(usize, u64), CodecError> {
    let length = |width: usize| -> Result<u64, CodecError> {
        let head = rest.get(..width).ok_or(CodecError::Truncated)?;
        Ok(big_endian(head))
    };
    let data = |width: usize, extra: usize| -> Result<(usize, u64), CodecError> {
        let body = usize::try_from(length(width)?).map_err(|_| CodecError::Truncated)?;
        Ok((width + extra + body, 0))
    };
    Ok(match marker {
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => (0, 0),
        Marker::U8 | Marker::I8 => (1, 0),
        Marker::U16 | Marker::I16 | Marker::FixExt1 => (2, 0),
        Marker::FixExt2 => (3, 0),
        Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
        Marker::FixExt4 => (5, 0),
        Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
        Marker::FixExt8 => (9, 0),
        Marker::FixExt16 => (17, 0),
        Marker::FixStr(n) => (usize::from(n), 0),
        Marker::Str8 | Marker::Bin8 => data(1, 0)?,
        Marker::Str16 | Marker::Bin16 => data(2, 0)?,
        Marker::Str32 | Marker::Bin32 => data(4, 0)?,
        Marker::Ext8 => data(1, 1)?,
        Marker::Ext16 => data(2, 1)?,
        Marker::Ext32 => data(4, 1)?,
        Marker::FixArray(n) => (0, u64::from(n)),
        Marker::Array16 => (2, length(2)?),
        Marker::Array32 => (4, length(4)?),
        Marker::FixMap(n) => (0, 2 * u64::from(n)),
        Marker::Map16 => (2, 2 * length(2)?),
        Marker::Map32 => (4, 2 * length(4)?),
        Marker::Reserved => return Err(CodecError::Reserved),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_accepts_what_the_encoder_writes() {
        let value = serde_json::json!({
            "a": [1, -1, 300, 70000, 5_000_000_000_u64, 1.5, true, null],
            "b": { "c": "x".repeat(300), "d": vec![0; 70_000] },
        });
        let bytes = to_vec(&value).unwrap();
        assert_eq!(from_slice::<serde_json::Value>(&bytes).unwrap(), value);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = to_vec(&serde_json::json!({"a": [1, "two", {"b": 3.5}], "c": "four"})).unwrap();
        for cut in 0..bytes.len() {
            assert_eq!(Raw::new(&bytes[..cut]), Err(CodecError::Truncated), "cut at {cut}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Raw::new(&longer), Err(CodecError::Trailing(1)));
    }

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        let deep = |levels: usize| [vec![0x91; levels], vec![0xc0]].concat();
        assert!(Raw::new(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(Raw::new(&deep(MAX_DEPTH + 1)), Err(CodecError::TooDeep));
        assert_eq!(Raw::new(&deep(100_000)), Err(CodecError::TooDeep));
    }

    #[test]
    fn lengths_that_lie_allocate_nothing() {
        for lie in
            [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0xdf, 0xff, 0xff, 0xff, 0xff], &[0xc6, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(Raw::new(lie), Err(CodecError::Truncated));
        }
        assert_eq!(Raw::new(&[0xc1]), Err(CodecError::Reserved));
    }

    #[test]
    fn extensions_are_skipped_whole() {
        for ext in [
            &[0xd4, 1, 0][..],
            &[0xd5, 1, 0, 0],
            &[0xc7, 2, 1, 0, 0],
            &[0xd8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(value_length(ext), Ok(ext.len()));
        }
    }
}
