//! MessagePack, one token after the other.

use plugbus::wire::Raw;
use rmp::Marker;

/// The start of a value: all of a scalar, the number of entries of a container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    /// UTF-8, if its sender kept to the rules.
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Ext(i8, &'a [u8]),
    Array(u64),
    Map(u64),
}

impl<'a> Token<'a> {
    /// The first token of a value; `None` of what is no MessagePack.
    pub(super) fn only(value: &'a [u8]) -> Option<Self> {
        Reader::new(Raw::new(value).ok()?).token()
    }
}

/// What is still to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Takes a value that was walked already, which bounds how deep it nests.
    pub(super) fn new(value: Raw<'a>) -> Self {
        Self(value.bytes())
    }

    /// The bytes of the next value.
    pub(super) fn skip(&mut self) -> Option<&'a [u8]> {
        let start = self.0;
        let mut owed: u64 = 1;
        while owed > 0 {
            owed = owed - 1
                + match self.token()? {
                    Token::Array(count) => count,
                    Token::Map(count) => 2 * count,
                    _ => 0,
                };
        }
        start.get(..start.len() - self.0.len())
    }

    /// The next token; `None` at the end, and where the bytes lie.
    pub(super) fn token(&mut self) -> Option<Token<'a>> {
        let marker = Marker::from_u8(self.unsigned(1)? as u8);
        Some(match marker {
            Marker::Null | Marker::Reserved => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::FixPos(n) => Token::Unsigned(n.into()),
            Marker::FixNeg(n) => Token::Signed(n.into()),
            Marker::U8 => Token::Unsigned(self.unsigned(1)?),
            Marker::U16 => Token::Unsigned(self.unsigned(2)?),
            Marker::U32 => Token::Unsigned(self.unsigned(4)?),
            Marker::U64 => Token::Unsigned(self.unsigned(8)?),
            Marker::I8 => Token::Signed(self.signed(1)?),
            Marker::I16 => Token::Signed(self.signed(2)?),
            Marker::I32 => Token::Signed(self.signed(4)?),
            Marker::I64 => Token::Signed(self.signed(8)?),
            Marker::F32 => Token::Float(f32::from_bits(self.unsigned(4)? as u32).into()),
            Marker::F64 => Token::Float(f64::from_bits(self.unsigned(8)?)),
            Marker::FixStr(n) => Token::Text(self.take(n.into())?),
            Marker::Str8 => Token::Text(self.sized(1)?),
            Marker::Str16 => Token::Text(self.sized(2)?),
            Marker::Str32 => Token::Text(self.sized(4)?),
            Marker::Bin8 => Token::Binary(self.sized(1)?),
            Marker::Bin16 => Token::Binary(self.sized(2)?),
            Marker::Bin32 => Token::Binary(self.sized(4)?),
            Marker::FixExt1 => self.extension(1)?,
            Marker::FixExt2 => self.extension(2)?,
            Marker::FixExt4 => self.extension(4)?,
            Marker::FixExt8 => self.extension(8)?,
            Marker::FixExt16 => self.extension(16)?,
            Marker::Ext8 => self.sized_extension(1)?,
            Marker::Ext16 => self.sized_extension(2)?,
            Marker::Ext32 => self.sized_extension(4)?,
            Marker::FixArray(n) => Token::Array(n.into()),
            Marker::Array16 => Token::Array(self.unsigned(2)?),
            Marker::Array32 => Token::Array(self.unsigned(4)?),
            Marker::FixMap(n) => Token::Map(n.into()),
            Marker::Map16 => Token::Map(self.unsigned(2)?),
            Marker::Map32 => Token::Map(self.unsigned(4)?),
        })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn unsigned(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, width: usize) -> Option<i64> {
        let unused = 64 - 8 * width as u32;
        // Up to the top and down again spreads the sign.
        Some((self.unsigned(width)? << unused).cast_signed() >> unused)
    }

    fn sized(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.unsigned(width)?;
        self.take(length.try_into().ok()?)
    }

    fn extension(&mut self, length: usize) -> Option<Token<'a>> {
        let kind = self.signed(1)? as i8;
        Some(Token::Ext(kind, self.take(length)?))
    }

    fn sized_extension(&mut self, width: usize) -> Option<Token<'a>> {
        let length = self.unsigned(width)?;
        self.extension(length.try_into().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_token() {
        for (bytes, token) in [
            (&[0xc0][..], Token::Nil),
            (&[0xc3], Token::Bool(true)),
            (&[0x7f], Token::Unsigned(127)),
            (&[0xff], Token::Signed(-1)),
            (&[0xcd, 1, 0], Token::Unsigned(256)),
            (&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], Token::Unsigned(u64::MAX)),
            (&[0xd0, 0x80], Token::Signed(-128)),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], Token::Signed(i64::MIN)),
            (&[0xca, 0x3f, 0x80, 0, 0], Token::Float(1.0)),
            (&[0xa1, b'x'], Token::Text(b"x")),
            (&[0xc4, 1, 0], Token::Binary(&[0])),
            (&[0xd4, 0xff, 7], Token::Ext(-1, &[7])),
            (&[0xc7, 2, 5, 1, 2], Token::Ext(5, &[1, 2])),
            (&[0x90], Token::Array(0)),
            (&[0x81, 1, 2], Token::Map(1)),
        ] {
            assert_eq!(Token::only(bytes), Some(token), "{bytes:x?}");
        }
    }

    #[test]
    fn no_bytes_are_too_bad() {
        for first in 0..=u8::MAX {
            for length in 0..12 {
                let bytes = [&[first][..], &vec![0xff; length]].concat();
                let mut reader = Reader(&bytes);
                while reader.token().is_some() {}
                let _ = Reader(&bytes).skip();
            }
        }
    }

    #[test]
    fn a_value_is_skipped_whole() {
        let mut reader = Reader(&[0x82, 1, 0x91, 0xa1, b'x', 2, 0xc0, 9]);
        assert_eq!(reader.skip(), Some(&[0x82, 1, 0x91, 0xa1, b'x', 2, 0xc0][..]));
        assert_eq!(reader.token(), Some(Token::Unsigned(9)));
    }
}
