//! Maps with names, written straight into the message.

use serde::Serialize;

use super::codec::{CodecError, append};

/// Writes a map with names straight into the message.
pub(super) struct MapWriter<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> MapWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, fields: u32) -> Self {
        // Writing to a Vec cannot fail, so neither can any of the writes below.
        let _ = rmp::encode::write_map_len(out, fields);
        Self { out }
    }

    pub(super) fn nested<'b>(outer: &'b mut MapWriter<'_>, key: &str, fields: u32) -> MapWriter<'b> {
        outer.key(key);
        MapWriter::new(outer.out, fields)
    }

    /// A known key becomes a few stores where this is inlined, and a call has many.
    #[inline(always)]
    fn key(&mut self, key: &str) {
        match u8::try_from(key.len()) {
            Ok(length @ ..32) => {
                self.out.push(0xa0 | length);
                self.out.extend_from_slice(key.as_bytes());
            }
            _ => {
                let _ = rmp::encode::write_str(self.out, key);
            }
        }
    }

    #[inline(always)]
    pub(super) fn str(&mut self, key: &str, value: &str) {
        self.key(key);
        self.key(value);
    }

    /// All of a text but the text itself, which has to follow.
    #[cfg(feature = "plugin")]
    pub(super) fn before_str(&mut self, key: &str, length: u32) {
        self.key(key);
        let _ = rmp::encode::write_str_len(self.out, length);
    }

    pub(super) fn strs(&mut self, key: &str, values: &[String]) {
        self.key(key);
        let _ = rmp::encode::write_array_len(self.out, values.len().try_into().unwrap_or(u32::MAX));
        values.iter().for_each(|value| self.key(value));
    }

    #[inline(always)]
    pub(super) fn uint(&mut self, key: &str, value: u64) {
        self.key(key);
        match u8::try_from(value) {
            Ok(small @ ..128) => self.out.push(small),
            _ => {
                let _ = rmp::encode::write_uint(self.out, value);
            }
        }
    }

    pub(super) fn raw(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(value);
    }

    /// An array of so many values, which are bytes already.
    pub(super) fn array(&mut self, key: &str, count: u32, values: &[u8]) {
        self.key(key);
        let _ = rmp::encode::write_array_len(self.out, count);
        self.out.extend_from_slice(values);
    }

    pub(super) fn yes(&mut self, key: &str) {
        self.key(key);
        let _ = rmp::encode::write_bool(self.out, true);
    }

    pub(super) fn value<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), CodecError> {
        self.key(key);
        append(self.out, value)
    }
}
