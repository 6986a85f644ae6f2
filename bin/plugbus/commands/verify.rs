//! `plugbus verify`: whether files are what somebody signed.

use std::fs;
use std::io::Write;
use std::path::Path;

use plugbus::trust::{PublicKey, Signature};

use crate::args::Verify;
use crate::error::CommandError;
use crate::output::{self, BAD, BOLD, GOOD, one_line};
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Verify) -> Result<(), CommandError> {
    let keys = match args.public_key.as_slice() {
        [] => settings.configuration(&args.config.config)?.spec.trust.keys,
        named => named.iter().map(|key| read_key(key)).collect::<Result<_, _>>()?,
    };
    if keys.is_empty() {
        let message = "by which key? Name one with --public-key, or in [trust] keys of the configuration";
        return Err(CommandError::Usage(message.into()));
    }
    let mut failed = 0;
    for file in &args.files {
        let checked = check(file, &keys);
        failed += usize::from(checked.is_err());
        output::print(|out| match &checked {
            Ok(comment) => writeln!(out, "{BOLD}{}{BOLD:#} {GOOD}is signed{GOOD:#}: {comment}", file.display()),
            Err(why) => writeln!(out, "{BOLD}{}{BOLD:#} {BAD}{why}{BAD:#}", file.display()),
        })?;
    }
    match failed {
        0 => Ok(()),
        1 => Err(CommandError::Trust("one of the files is not what was signed".into())),
        failed => Err(CommandError::Trust(format!("{failed} of the files are not what was signed"))),
    }
}

/// A key itself, or the file that has it.
fn read_key(text: &str) -> Result<PublicKey, CommandError> {
    let key = match Path::new(text).exists() {
        true => PublicKey::read(Path::new(text)),
        false => text.parse(),
    };
    key.map_err(|error| CommandError::Usage(format!("{text} {error}")))
}

fn check(file: &Path, keys: &[PublicKey]) -> Result<String, String> {
    let bytes = fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    let signature = Signature::beside(file).map_err(|flaw| flaw.to_string())?;
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    signature.check(&bytes, &name, keys).map_err(|flaw| flaw.to_string())?;
    Ok(one_line(signature.comment()))
}
