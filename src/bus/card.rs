//! What a plugin instance publishes about itself.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use serde::{Deserialize, Serialize};

use super::ProcessId;
use crate::wire::{MethodInfo, Protocols};

/// All that a caller needs to know of an instance: `NAME.INSTANCE.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The plugin's name.
    pub name: String,
    /// This run of it.
    pub instance: String,
    /// The plugin's own version; empty where it has none.
    #[serde(default)]
    pub version: String,
    /// The process that listens.
    #[serde(flatten)]
    pub process: ProcessId,
    /// The protocol version it speaks; of several, the oldest.
    pub protocol: u32,
    /// The newest, where it speaks several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_max: Option<u32>,
    /// Where it listens for calls.
    pub url: String,
    /// What it can be asked for, the built-in methods left out.
    #[serde(default)]
    pub methods: Vec<MethodInfo>,
}

impl Card {
    /// The protocol versions it speaks.
    #[must_use]
    pub fn protocols(&self) -> Protocols {
        Protocols::new(self.protocol, self.protocol_max)
    }

    /// Whether it has a method of that name.
    #[must_use]
    pub fn offers(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known.name == method)
    }

    /// Whether it has declared that running the method twice is as good as once.
    #[cfg(feature = "host")]
    pub(crate) fn repeats(&self, method: &str) -> bool {
        self.methods.iter().any(|known| known.name == method && known.idempotent)
    }
}

/// A name for a new instance: ten letters and digits, never the same twice.
#[must_use]
pub fn new_instance() -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    // RandomState is seeded by the operating system and never gives the same keys twice in a process.
    let mut bits = RandomState::new().build_hasher().finish();
    std::iter::repeat_with(|| {
        let digit = DIGITS[(bits % 32) as usize];
        bits /= 32;
        char::from(digit)
    })
    .take(10)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_differ() {
        let all: std::collections::HashSet<_> = (0..10_000).map(|_| new_instance()).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().all(|instance| instance.len() == 10));
    }
}
