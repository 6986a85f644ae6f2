//! `status --watch`: the same again and again.

use std::io::Write;

use plugbus::host::Bus;
use plugbus::supervisor::StatusReport;

use super::view::View;
use crate::commands::control;
use crate::commands::signals::until_interrupted;
use crate::error::CommandError;
use crate::output::{self, BAD};
use crate::picture::{self, PAUSE};
use crate::settings::Settings;

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
            Ok(view) => picture::show(pictures, |out, width| view.write(out, width))?,
            Err(error) if pictures == 0 => return Err(error),
            Err(error) if json => output::error(&error),
            Err(error) => picture::show(pictures, |out, _| writeln!(out, "{BAD}{error}{BAD:#}"))?,
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
