//! The name that a caller gave its call.

/// What of a name is kept without an allocation: ours have 12 to 27 bytes.
const SHORT: usize = 30;

/// A name to cancel a call by; each call has one.
#[derive(Debug)]
pub(super) enum CallName {
    Short { bytes: [u8; SHORT], length: u8 },
    Long(Box<str>),
}

impl CallName {
    pub(super) fn is(&self, other: &str) -> bool {
        let own = match self {
            Self::Short { bytes, length } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(name) => name.as_bytes(),
        };
        own == other.as_bytes()
    }
}

impl From<&str> for CallName {
    fn from(name: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(name.as_bytes());
                Self::Short { bytes, length }
            }
            _ => Self::Long(name.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_itself_and_no_other() {
        let names: Vec<String> = (0..3 * SHORT).map(|length| "ab".repeat(length)[..length].to_owned()).collect();
        for one in &names {
            let name = CallName::from(one.as_str());
            assert_eq!(matches!(name, CallName::Long(_)), one.len() > SHORT);
            assert!(names.iter().all(|other| name.is(other) == (one == other)), "{one}");
        }
    }
}
