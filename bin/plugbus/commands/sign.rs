//! `plugbus sign`: signatures as minisign has them.

use std::io::Write;

use plugbus::trust::{SecretKey, signature_path};

use super::keygen;
use crate::args::Sign;
use crate::error::CommandError;
use crate::output::{self, BOLD};

pub(super) fn run(args: &Sign) -> Result<(), CommandError> {
    let Sign { files, secret_key, password } = args;
    let has_password = SecretKey::has_password(secret_key).map_err(CommandError::Trust)?;
    let password = match has_password && !password.no_password {
        true => Some(keygen::ask(password, &format!("Password of {}: ", secret_key.display()))?),
        false => None,
    };
    let key = SecretKey::read(secret_key, password.as_deref()).map_err(CommandError::Trust)?;
    for file in files {
        key.sign(file).map_err(CommandError::Trust)?;
        output::print(|out| writeln!(out, "{BOLD}{}{BOLD:#}", signature_path(file).display()))?;
    }
    Ok(())
}
