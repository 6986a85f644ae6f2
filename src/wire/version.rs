//! Which version of the protocol two sides speak with each other.

use std::fmt;

use super::PROTOCOL;

/// The versions of the protocol that somebody speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// The oldest, which is also what stands where one number alone can stand.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

impl Protocols {
    /// What this library speaks.
    pub const OWN: Self = Self { oldest: PROTOCOL, newest: PROTOCOL };

    /// From the two numbers of a card or an environment; who gives one alone speaks that one.
    #[must_use]
    pub fn new(oldest: u32, newest: Option<u32>) -> Self {
        Self { oldest, newest: newest.map_or(oldest, |newest| newest.max(oldest)) }
    }

    /// The newest version that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }

    /// Whether all of these are newer than all of the others.
    #[must_use]
    pub fn is_newer_than(self, other: Self) -> bool {
        self.oldest > other.newest
    }
}

impl fmt::Display for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { oldest, newest } if oldest == newest => write!(f, "protocol {oldest}"),
            Self { oldest, newest } => write!(f, "protocols {oldest} to {newest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_both_speak() {
        for (own, other, common) in [
            ((1, None), (1, None), Some(1)),
            ((1, None), (1, Some(3)), Some(1)),
            ((1, Some(2)), (1, Some(3)), Some(2)),
            ((2, Some(4)), (1, Some(3)), Some(3)),
            ((1, None), (2, None), None),
            ((3, Some(4)), (1, Some(2)), None),
            ((2, Some(1)), (2, None), Some(2)),
        ] {
            let (own, other) = (Protocols::new(own.0, own.1), Protocols::new(other.0, other.1));
            assert_eq!((own.common(other), other.common(own)), (common, common), "{own} and {other}");
        }
        assert_eq!(Protocols::new(1, Some(3)).to_string(), "protocols 1 to 3");
        assert!(Protocols::new(2, None).is_newer_than(Protocols::OWN));
    }
}
