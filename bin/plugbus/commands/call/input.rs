//! The arguments as bytes, wherever they come from.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use plugbus::host::CallError;
use plugbus::wire::MAX_MESSAGE;

use crate::error::CommandError;

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    key: Option<String>,
    bytes: Vec<u8>,
    from_stdin: bool,
}

impl Input {
    /// A line of standard input.
    pub(super) fn line(bytes: Vec<u8>) -> Self {
        Self { key: None, bytes, from_stdin: true }
    }

    /// The KEY of `KEY=VALUE`, where such arguments are meant.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// All bytes, just as they came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What is meant as text: programs end their output with a newline that belongs to the terminal.
    pub(super) fn text(&self) -> &[u8] {
        match self.bytes.strip_suffix(b"\n") {
            Some(text) if self.from_stdin => text,
            _ => &self.bytes,
        }
    }
}

/// Takes the arguments, as KEY=VALUE where the method takes an object, and what `stdin` has for a `-`.
pub(super) fn read(args: &[OsString], object: bool, stdin: impl Read) -> Result<Vec<Input>, CommandError> {
    let mut inputs: Vec<Input> = args.iter().map(|arg| typed(arg.as_bytes(), object)).collect();
    let mut dashes = inputs.iter_mut().filter(|input| input.bytes == b"-");
    if let Some(input) = dashes.next() {
        if dashes.next().is_some() {
            let problem = "standard input can be read once: only one argument may be `-`";
            return Err(CommandError::Usage(problem.into()));
        }
        (input.bytes, input.from_stdin) = (all(stdin)?, true);
    }
    Ok(inputs)
}

fn typed(arg: &[u8], object: bool) -> Input {
    let pair = std::str::from_utf8(arg).ok().filter(|_| object).and_then(|arg| arg.split_once('='));
    match pair {
        Some((key, value)) if is_key(key) => Input { key: Some(key.into()), bytes: value.into(), from_stdin: false },
        _ => Input { key: None, bytes: arg.into(), from_stdin: false },
    }
}

/// A word: JSON begins otherwise, and a text that happens to hold a `=` mostly does too.
fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-.$".contains(c))
}

fn all(stdin: impl Read) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    // More than a message may hold cannot be sent anyway, and a stream without end has to stop somewhere.
    let limit = MAX_MESSAGE as u64 + 1;
    stdin.take(limit).read_to_end(&mut bytes).map_err(CommandError::system("read standard input"))?;
    match bytes.len() {
        length if length > MAX_MESSAGE => Err(CallError::TooLarge(length).into()),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(args: &[&str], object: bool) -> Result<Vec<Input>, CommandError> {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        read(&args, object, &b"piped\n"[..])
    }

    #[test]
    fn a_dash_is_standard_input() {
        let read = inputs(&["a", "-"], false).unwrap();
        assert_eq!((read[0].text(), read[1].text(), read[1].bytes()), (&b"a"[..], &b"piped"[..], &b"piped\n"[..]));
        let pair = &inputs(&["text=-"], true).unwrap()[0];
        assert_eq!((pair.key(), pair.text()), (Some("text"), &b"piped"[..]));
        assert_eq!(inputs(&["text=-"], false).unwrap()[0].text(), b"text=-");
        assert!(matches!(inputs(&["-", "-"], false), Err(CommandError::Usage(_))));
    }

    #[test]
    fn a_stream_without_end_is_an_error() {
        let endless = read(&["-".into()], false, std::io::repeat(7));
        assert!(matches!(endless, Err(CommandError::Call(CallError::TooLarge(_)))));
    }

    #[test]
    fn keys_are_words() {
        for (arg, key) in
            [("a=1", Some("a")), ("a=b=c", Some("a")), ("=1", None), ("{\"a\":\"=\"}", None), ("a b=1", None)]
        {
            assert_eq!(typed(arg.as_bytes(), true).key(), key, "{arg}");
        }
    }
}
