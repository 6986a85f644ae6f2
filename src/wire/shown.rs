//! MessagePack as a line for people: like JSON, and cut short where it is long.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::codec::{MAX_DEPTH, Raw};

/// Characters of one message that are shown.
const LINE: usize = 2000;

/// Characters of one text in it.
const TEXT: usize = 240;

/// Bytes of one `bin` in it.
const BYTES: usize = 16;

/// Shows bytes that may be MessagePack.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Walked first: what follows may recurse only as deep as a message may nest.
        if let Err(error) = Raw::new(self.0) {
            return write!(f, "{} ({error})", hex(self.0));
        }
        let mut line = Line(String::new());
        let mut decoder = rmp_serde::Deserializer::from_read_ref(self.0);
        decoder.set_max_depth(2 * MAX_DEPTH);
        match line.deserialize(&mut decoder) {
            Ok(()) => f.write_str(&line.0),
            // It is full: what is not shown is not read either.
            Err(_) => write!(f, "{}…", line.0),
        }
    }
}

/// What is shown so far.
struct Line(String);

impl Line {
    fn add<E: de::Error>(&mut self, text: &str) -> Result<(), E> {
        let left = LINE.saturating_sub(self.0.len());
        if text.len() <= left {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary_of(left)]);
        Err(E::custom("full"))
    }
}

/// As std's own, which is younger than the compiler that is needed.
trait Boundary {
    fn floor_char_boundary_of(&self, at: usize) -> usize;
}

impl Boundary for str {
    fn floor_char_boundary_of(&self, at: usize) -> usize {
        (0..=at.min(self.len())).rev().find(|at| self.is_char_boundary(*at)).unwrap_or(0)
    }
}

impl<'de> DeserializeSeed<'de> for &mut Line {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Line {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any MessagePack")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.add("nil")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.add(if value { "true" } else { "false" })
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.add(&value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.add(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.add(&format!("{value:?}"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        let shown = value.char_indices().nth(TEXT).map_or(value, |(end, _)| &value[..end]);
        let quoted = serde_json::Value::from(shown).to_string();
        // JSON leaves some as they are that a terminal obeys.
        let obeyed = quoted.chars().any(char::is_control);
        self.add(&if obeyed { quoted.escape_default().to_string() } else { quoted })?;
        match value.len() - shown.len() {
            0 => Ok(()),
            more => self.add(&format!("…and {more} bytes")),
        }
    }

    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<(), E> {
        self.add(&hex(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.add("[")?;
        let mut between = "";
        while items.next_element_seed(Item { line: &mut *self, before: between })?.is_some() {
            between = ",";
        }
        self.add("]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        self.add("{")?;
        let mut between = "";
        while fields.next_key_seed(Item { line: &mut *self, before: between })?.is_some() {
            fields.next_value_seed(Item { line: &mut *self, before: ":" })?;
            between = ",";
        }
        self.add("}")
    }

    /// An extension: its number and its bytes.
    fn visit_newtype_struct<D: de::Deserializer<'de>>(self, extension: D) -> Result<(), D::Error> {
        self.add("ext")?;
        extension.deserialize_any(self)
    }
}

/// A value, and what stands before it if there is one.
struct Item<'a> {
    line: &'a mut Line,
    before: &'static str,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        self.line.add(self.before)?;
        self.line.deserialize(decoder)
    }
}

/// Bytes that are no text.
fn hex(bytes: &[u8]) -> String {
    let shown: Vec<_> = bytes.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > BYTES { "…" } else { "" };
    format!("<{} bytes: {}{more}>", bytes.len(), shown.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::to_vec;

    fn shown(value: &serde_json::Value) -> String {
        Shown(&to_vec(value).unwrap()).to_string()
    }

    #[test]
    fn like_json() {
        let value = serde_json::json!({"v": 1, "a": [true, null, -2, 1.5], "text": "one\n\"two\" ü"});
        let fields = shown(&value);
        for part in [r#""v":1"#, r#""a":[true,nil,-2,1.5]"#, r#""text":"one\n\"two\" ü""#] {
            assert!(fields.contains(part), "{fields}");
        }
        assert_eq!(shown(&serde_json::json!([])), "[]");
    }

    #[test]
    fn what_json_cannot_say() {
        assert_eq!(Shown(&[0x81, 0x01, 0xc4, 2, 0, 255]).to_string(), "{1:<2 bytes: 00 ff>}");
        assert_eq!(Shown(&[0x92, 0xd5, 7, 1, 2, 0xc0]).to_string(), "[ext[7,<2 bytes: 01 02>],nil]");
        assert_eq!(Shown(&[0xca, 0x3f, 0xc0, 0, 0]).to_string(), "1.5");
    }

    #[test]
    fn what_is_long_is_cut_short() {
        assert_eq!(shown(&"ü".repeat(241).into()), format!("\"{}\"…and 2 bytes", "ü".repeat(240)));
        let many = shown(&serde_json::json!(vec![vec!["ü"; 1000]; 1000]));
        assert!(many.len() <= LINE + '…'.len_utf8() && many.ends_with('…'), "{}", many.len());
        assert_eq!(Shown(&[0xc4, 17].into_iter().chain([0; 17]).collect::<Vec<u8>>()).to_string().len(), 62);
    }

    #[test]
    fn what_is_no_message_is_shown_all_the_same() {
        assert_eq!(Shown(&[0x92, 1]).to_string(), "<2 bytes: 92 01> (the MessagePack ends too early)");
        let deep = [vec![0x91; 5000], vec![0xc0]].concat();
        assert!(Shown(&deep).to_string().ends_with("(the MessagePack nests deeper than 128)"));
    }
}
