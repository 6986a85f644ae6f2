//! `plugbus keygen`: a key that signs, and the one that checks.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;

use plugbus::trust::KeyPair;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::args::{Keygen, Password};
use crate::error::CommandError;
use crate::output::{self, BOLD, DIM};

/// A password longer than this is none.
const MAX_PASSWORD: u64 = 1024;

pub(super) fn run(args: &Keygen) -> Result<(), CommandError> {
    let Keygen { secret_key, public_key, password } = args;
    if let Some(there) = [secret_key, public_key].into_iter().find(|path| path.exists()) {
        let message = format!("{} is there already: move it away, or name another file", there.display());
        return Err(CommandError::Usage(message));
    }
    let password = match password.no_password {
        true => None,
        false => Some(ask_twice(password)?),
    };
    let pair = KeyPair::generate(password.as_deref()).map_err(CommandError::Trust)?;
    let written = pair.write(secret_key, public_key);
    written.map_err(CommandError::system(format!("write {} and {}", secret_key.display(), public_key.display())))?;
    output::print(|out| {
        writeln!(out, "{BOLD}{}{BOLD:#}  {DIM}secret: it signs{DIM:#}", secret_key.display())?;
        writeln!(
            out,
            "{BOLD}{}{BOLD:#}  {DIM}public: [trust] keys = [\"{}\"]{DIM:#}",
            public_key.display(),
            pair.public.as_str()
        )
    })
}

fn ask_twice(from: &Password) -> Result<String, CommandError> {
    let password = ask(from, "Password of the new key: ")?;
    if from.password_file.is_none() && ask(from, "Once more: ")? != password {
        return Err(CommandError::Usage("these were two different passwords".into()));
    }
    if password.is_empty() {
        return Err(CommandError::Usage("no password: say --no-password where that is meant".into()));
    }
    Ok(password)
}

/// The password, from the file that was named or from whoever sits at the terminal.
pub(super) fn ask(from: &Password, question: &str) -> Result<String, CommandError> {
    match &from.password_file {
        Some(path) if path == Path::new("-") => first_line(io::stdin(), path),
        Some(path) => first_line(File::open(path).map_err(unreadable(path))?, path),
        None if io::stdin().is_terminal() => ask_at_terminal(question).map_err(unreadable(Path::new("the terminal"))),
        None => Err(CommandError::Usage("who is to be asked for the password? Say --password-file FILE".into())),
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CommandError {
    CommandError::system(format!("read the password from {}", path.display()))
}

fn first_line(from: impl Read, path: &Path) -> Result<String, CommandError> {
    let mut line = String::new();
    BufReader::new(from.take(MAX_PASSWORD)).read_line(&mut line).map_err(unreadable(path))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks, and shows nothing of what is typed.
fn ask_at_terminal(question: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    output::ask(question);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let mut line = String::new();
    let read = stdin.lock().take(MAX_PASSWORD).read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    read?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
