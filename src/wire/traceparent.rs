//! Which trace a call is part of, as W3C Trace Context writes it.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

/// A trace and the span in it that makes a call: `00-TRACE-SPAN-FLAGS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traceparent {
    trace: NonZeroU128,
    span: NonZeroU64,
    flags: u8,
}

/// The text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is not 00-, 32 digits, -, 16 digits, - and 2 digits, all of them 0-9 or a-f, as W3C Trace Context has it"
)]
pub struct InvalidTraceparent;

impl Traceparent {
    /// A new trace, to be recorded.
    #[must_use]
    pub fn root() -> Self {
        let trace = NonZeroU128::new(u128::from(random().get()) << 64 | u128::from(random().get()));
        Self { trace: trace.unwrap_or(NonZeroU128::MIN), span: random(), flags: 1 }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: random(), ..self }
    }
}

impl FromStr for Traceparent {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(is_digit));
            part.and_then(|part| u128::from_str_radix(part, 16).ok())
        };
        let (Some(version), Some(trace), Some(span), Some(flags)) = (part(2), part(32), part(16), part(2)) else {
            return Err(InvalidTraceparent);
        };
        // A later version may have more parts; 255 is none.
        if version == 255 || (version == 0 && parts.next().is_some()) {
            return Err(InvalidTraceparent);
        }
        let span = u64::try_from(span).ok().and_then(NonZeroU64::new);
        let (Some(trace), Some(span)) = (NonZeroU128::new(trace), span) else { return Err(InvalidTraceparent) };
        Ok(Self { trace, span, flags: u8::try_from(flags).unwrap_or_default() })
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// Never the same twice in a process, and seeded by the operating system.
fn random() -> NonZeroU64 {
    NonZeroU64::new(RandomState::new().build_hasher().finish()).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_goes_on_with_new_spans() {
        let one: Traceparent = ONE.parse().unwrap();
        assert_eq!(one.to_string(), ONE);
        let child = one.child();
        assert_eq!((child.trace, child.flags), (one.trace, one.flags));
        assert!(child.span != one.span && child.to_string()[..36] == ONE[..36], "{child}");
        let root = Traceparent::root();
        assert_eq!(root.to_string().parse(), Ok(root));
        assert_ne!(root.trace, Traceparent::root().trace);
    }

    #[test]
    fn what_is_none() {
        for wrong in [
            "",
            "00",
            "00-a-b-01",
            &ONE.to_uppercase(),
            &ONE[..54],
            &format!("{ONE}-more"),
            &ONE.replace("00-", "ff-"),
            &ONE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &ONE.replace("b7ad6b7169203331", &"0".repeat(16)),
            &ONE.replace('b', "+"),
        ] {
            assert_eq!(wrong.parse::<Traceparent>(), Err(InvalidTraceparent), "{wrong}");
        }
        let later = format!("{}-more", ONE.replace("00-", "01-"));
        assert_eq!(later.parse::<Traceparent>().unwrap().to_string(), ONE);
    }
}
