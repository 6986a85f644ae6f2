//! The same again and again, each time as it is now.

use std::io::{self, Write};
use std::time::Duration;

use crate::error::CommandError;
use crate::output;

/// From one picture to the next.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

const CLEAR: &str = "\x1b[2J";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Draws over the picture before on a terminal; elsewhere one picture follows the other after an empty line.
pub(crate) fn show(
    pictures: u64,
    write: impl FnOnce(&mut Vec<u8>, Option<usize>) -> io::Result<()>,
) -> Result<(), CommandError> {
    let mut picture = Vec::new();
    write(&mut picture, output::width()).map_err(CommandError::Output)?;
    output::print(|out| match (output::is_terminal(), pictures) {
        (false, 0) => out.write_all(&picture),
        (false, _) => out.write_all(b"\n").and_then(|()| out.write_all(&picture)),
        (true, _) => {
            // Clearing line by line does not flicker as clearing the screen does.
            let lines = String::from_utf8_lossy(&picture).replace('\n', &format!("{CLEAR_LINE}\n"));
            let start = if pictures == 0 { CLEAR } else { "" };
            write!(out, "{start}{HOME}{lines}{CLEAR_BELOW}")
        }
    })
}
