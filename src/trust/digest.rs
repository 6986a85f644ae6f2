//! SHA-256 of a file: what a program is known by.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// How a digest begins where people see it.
const PREFIX: &str = "sha256:";

/// The SHA-256 of a file's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its beginning, for messages.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(PREFIX.len() + 12).collect()
    }
}

/// Makes a digest of bytes that come one piece after the other.
#[derive(Debug, Default)]
pub(super) struct Digester(Sha256);

impl Digester {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(hex) = text.strip_prefix(PREFIX) else {
            return Err(format!("a digest begins with {PREFIX:?}"));
        };
        let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hex.len() != 64 || !is_hex {
            return Err("a digest has 64 digits, 0 to 9 and a to f".into());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&hex[at..at + 2], 16).map_err(|error| error.to_string())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_everybody_calls_sha256() {
        let digest = Digest::of(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((digest.to_string().as_str(), text.parse()), (text, Ok(digest)));
        assert_eq!(digest.short(), "sha256:ba7816bf8f01");
    }

    #[test]
    fn anything_else_is_refused() {
        let good = Digest::of(b"").to_string();
        let bad = ["", "sha256:", "md5:00", &good[7..], &good[..70], &(good.clone() + "0"), &good.to_uppercase()];
        for text in bad {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert!(good.replace(&good[8..10], "+1").parse::<Digest>().is_err());
        assert!(("sha256:".to_owned() + &"é".repeat(32)).parse::<Digest>().is_err());
    }
}
