//! What plugins and methods may be called.

/// The longest plugin name, in bytes; it becomes part of a socket path of at most 107.
pub const MAX_NAME: usize = 32;

/// The longest method name, in bytes.
pub const MAX_METHOD: usize = 128;

/// A plugin or method name that breaks the rules, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a {what} name: {rule}")]
pub struct InvalidName {
    what: &'static str,
    name: String,
    rule: &'static str,
}

const PLUGIN_RULE: &str = "use a-z, 0-9 and -, start with a letter, at most 32 bytes";
const METHOD_RULE: &str = "use a-z, 0-9 and _, start with a letter, dots for groups, at most 128 bytes";

/// Checks a plugin name: `[a-z][a-z0-9-]*`, at most [`MAX_NAME`] bytes.
///
/// # Errors
/// [`InvalidName`] says which rule is broken.
pub fn check_plugin_name(name: &str) -> Result<(), InvalidName> {
    if name.len() <= MAX_NAME && is_word(name, b'-') {
        return Ok(());
    }
    Err(InvalidName { what: "plugin", name: clip(name), rule: PLUGIN_RULE })
}

/// Checks a method name: `[a-z][a-z0-9_]*`, dots between groups, at most [`MAX_METHOD`] bytes.
///
/// # Errors
/// [`InvalidName`] says which rule is broken. A built-in `$name` is refused too: it is nobody's own.
pub fn check_method(name: &str) -> Result<(), InvalidName> {
    if name.len() <= MAX_METHOD && name.split('.').all(|group| is_word(group, b'_')) {
        return Ok(());
    }
    Err(InvalidName { what: "method", name: clip(name), rule: METHOD_RULE })
}

fn is_word(word: &str, joiner: u8) -> bool {
    let mut bytes = word.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == joiner)
}

/// Names come from strangers: an error must not carry a megabyte of one.
fn clip(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugin_names() {
        for good in ["text", "a", "text-2", "a-b-c", &"a".repeat(32)] {
            assert!(check_plugin_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Text", "2text", "-a", "a_b", "a.b", "../x", "é", &"a".repeat(33)] {
            assert!(check_plugin_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn method_names() {
        for good in ["revert", "a", "text.revert", "a_b.c2"] {
            assert!(check_method(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "$stop", "A", "a-b", "1a", &"a".repeat(129)] {
            assert!(check_method(bad).is_err(), "{bad}");
        }
    }
}
