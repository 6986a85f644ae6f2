//! A result, as the caller wants to see it.

use std::io::{self, Write};

use super::json;
use super::token::Token;
use crate::args::Format;

/// Writes one MessagePack value.
pub(super) fn write(out: &mut impl Write, value: &[u8], format: Format) -> io::Result<()> {
    match format {
        Format::Msgpack => out.write_all(value),
        Format::Json => json::write(out, value).and_then(|()| writeln!(out)),
        Format::Text => match Token::only(value) {
            Some(Token::Nil) => Ok(()),
            Some(Token::Binary(bytes)) => out.write_all(bytes),
            Some(Token::Text(text)) => out.write_all(text).and_then(|()| writeln!(out)),
            _ => json::write_pretty(out, value).and_then(|()| writeln!(out)),
        },
    }
}

#[cfg(test)]
mod tests {
    use plugbus::wire::to_vec;
    use serde_json::json;

    use super::*;

    fn written(value: &[u8], format: Format) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, value, format).unwrap();
        out
    }

    #[test]
    fn text_is_bare_and_bytes_are_bytes() {
        let text = to_vec("noël\x1b").unwrap();
        assert_eq!(written(&text, Format::Text), "noël\x1b\n".as_bytes());
        assert_eq!(written(&text, Format::Json), "\"noël\\u001b\"\n".as_bytes());
        assert_eq!(written(&text, Format::Msgpack), text);
        assert_eq!(written(&[0xc4, 3, 0, 0xff, 10], Format::Text), [0, 0xff, 10]);
        assert_eq!(written(&[0xc0], Format::Text), b"");
        assert_eq!(written(&[0xc0], Format::Json), b"null\n");
        assert_eq!(written(&to_vec(&json!([1, "a"])).unwrap(), Format::Text), b"[1, \"a\"]\n");
        assert_eq!(written(&to_vec(&json!([1, "a"])).unwrap(), Format::Json), b"[1,\"a\"]\n");
    }
}
