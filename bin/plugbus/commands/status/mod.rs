//! `plugbus status`: where every plugin stands, and why.

mod view;
mod watch;

use plugbus::host::CallError;
use plugbus::supervisor::StatusReport;

use self::view::View;
use super::control;
use crate::args::Status;
use crate::error::CommandError;
use crate::output;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Status) -> Result<(), CommandError> {
    if args.watch {
        return watch::run(settings, args.json);
    }
    let bus = settings.bus()?;
    let view = match control::ask::<StatusReport>(&bus, "status") {
        Ok(report) => View::Supervised(report),
        // Calls go on without a supervisor, so what can be called is worth showing.
        Err(CommandError::NoSupervisor(directory)) => View::Alone { directory, cards: bus.plugins()? },
        Err(error) => return Err(error),
    };
    if let View::Alone { directory, cards } = &view
        && cards.is_empty()
    {
        return Err(CallError::NoBus(directory.clone()).into());
    }
    if args.json { output::print_json(&view) } else { output::print(|out| view.write(out, output::width())) }
}
