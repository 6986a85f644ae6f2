//! The error a plugin answers with, as it travels.

use std::fmt;

use super::codec::{CodecError, Raw};
use super::fields::{Fields, Once};
use super::map_writer::MapWriter;

/// Why a plugin refused or failed a call: the closed set of protocol 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The plugin has no method of that name.
    NoMethod,
    /// The parameters are not what the method takes.
    BadParams,
    /// The method's own code failed.
    Failed,
    /// The caller's deadline passed before the method was done.
    Deadline,
    /// The caller asked for the call to be stopped, or went away.
    Cancelled,
    /// The plugin has as many calls as it takes; it did not start this one.
    Busy,
    /// The plugin is about to exit; it did not start this call.
    Draining,
    /// The call was meant for another instance; it was not started.
    StaleInstance,
    /// The caller may not call this.
    Unauthorised,
    /// The request or the result is larger than a message may be.
    TooLarge,
    /// The request is not a message of the protocol.
    BadMessage,
    /// The request is of a protocol version that is not spoken here.
    Protocol,
}

const NAMES: [(Code, &str); 12] = [
    (Code::NoMethod, "no_method"),
    (Code::BadParams, "bad_params"),
    (Code::Failed, "failed"),
    (Code::Deadline, "deadline"),
    (Code::Cancelled, "cancelled"),
    (Code::Busy, "busy"),
    (Code::Draining, "draining"),
    (Code::StaleInstance, "stale_instance"),
    (Code::Unauthorised, "unauthorised"),
    (Code::TooLarge, "too_large"),
    (Code::BadMessage, "bad_message"),
    (Code::Protocol, "protocol"),
];

impl Code {
    /// Every code, each at the place of its number.
    #[cfg(feature = "plugin")]
    pub(crate) const ALL: [Self; NAMES.len()] = {
        let mut all = [Self::NoMethod; NAMES.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = NAMES[at].0;
            at += 1;
        }
        all
    };

    /// The code as it is written on the wire, `no_method` for instance.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(code, _)| *code == self).map_or("failed", |(_, name)| name)
    }

    /// A code from elsewhere that is not in the set reads as `failed`: the call did not succeed.
    fn from_wire(name: &str) -> Self {
        NAMES.iter().find(|(_, known)| *known == name).map_or(Self::Failed, |(code, _)| *code)
    }

    /// Whether the plugin promises that the method did not run.
    #[must_use]
    pub fn not_started(self) -> bool {
        !matches!(self, Self::Failed | Self::Deadline | Self::Cancelled | Self::TooLarge)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as a plugin sent it: a code for programs, a message for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// What kind of error it is.
    pub code: Code,
    /// What went wrong, in words.
    pub message: String,
    /// What the method's own code adds, as one MessagePack value.
    pub data: Option<Vec<u8>>,
}

impl Fault {
    /// A fault without data.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The data as JSON, for people and logs; `None` where there is none.
    #[must_use]
    pub fn data_json(&self) -> Option<String> {
        let value: serde_json::Value = super::from_slice(self.data.as_deref()?).ok()?;
        Some(value.to_string())
    }

    pub(super) fn write(&self, out: &mut MapWriter) {
        let mut map = MapWriter::nested(out, "error", 2 + u32::from(self.data.is_some()));
        map.str("code", self.code.as_str());
        map.str("message", &self.message);
        if let Some(data) = &self.data {
            map.raw("data", data);
        }
    }

    pub(super) fn read(raw: Raw<'_>) -> Result<Self, CodecError> {
        let mut code = Once::new("code");
        let mut message = Once::new("message");
        let mut data = Once::new("data");
        for field in Fields::of(raw)? {
            let (key, value) = field?;
            match key {
                "code" => code.set(Code::from_wire(value.str()?))?,
                "message" => message.set(value.str()?)?,
                "data" => data.set(value.bytes().to_vec())?,
                _ => {}
            }
        }
        let code = code.get().unwrap_or(Code::Failed);
        Ok(Self { code, message: message.get().unwrap_or_default().to_owned(), data: data.get() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_its_name() {
        for (code, name) in NAMES {
            assert_eq!(code.as_str(), name);
            assert_eq!(Code::from_wire(name), code);
            assert_eq!(NAMES[code as usize].0, code);
        }
        assert_eq!(Code::from_wire("from_the_future"), Code::Failed);
    }
}
