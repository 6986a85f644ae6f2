//! `status --watch`: the same again and again.

use std::io::Write;
use std::time::Duration;

use plugbus::host::Bus;
use plugbus::supervisor::StatusReport;

use super::view::View;
use crate::commands::control;
use crate::commands::signals::until_interrupted;
use crate::error::CommandError;
use crate::output::{self, BAD};
use crate::settings::Settings;

/// From one picture to the next.
const PAUSE: Duration = Duration::from_secs(1);

const CLEAR: &str = "\x1b[2J";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

pub(super) fn run(settings: &Settings, json: bool) -> Result<(), CommandError> {
    until_interrupted(watch(settings, json))
}

/// Ends only where it cannot even begin, or cannot print.
async fn watch(settings: &Settings, json: bool) -> Result<(), CommandError> {
    let mut pictures: u64 = 0;
    loop {
        // A bus that was stopped and started again has another directory of the same name.
        match look(settings).await {
            Ok(view) if json => output::print_raw(|out| {
                serde_json::to_writer(&mut *out, &view)?;
                writeln!(out)
            })?,
            Ok(view) => show(pictures, |out, width| view.write(out, width))?,
            Err(error) if pictures == 0 => return Err(error),
            Err(error) if json => output::error(&error),
            Err(error) => show(pictures, |out, _| writeln!(out, "{BAD}{error}{BAD:#}"))?,
        }
        pictures += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(settings: &Settings) -> Result<View, CommandError> {
    let bus: Bus = settings.async_bus()?;
    match control::ask_async::<StatusReport>(&bus, "status").await {
        Ok(report) => Ok(View::Supervised(report)),
        Err(CommandError::NoSupervisor(directory)) => Ok(View::Alone { directory, cards: bus.plugins()? }),
        Err(error) => Err(error),
    }
}

/// Draws over the picture before on a terminal; elsewhere one picture follows the other after an empty line.
fn show(
    pictures: u64,
    write: impl FnOnce(&mut Vec<u8>, Option<usize>) -> std::io::Result<()>,
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
