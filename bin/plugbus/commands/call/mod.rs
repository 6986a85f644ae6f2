//! `plugbus call`: one call from the shell.
//!
//! Blocking from end to end: a runtime would take longer to start than the call itself.

mod input;
mod json;
mod params;
mod result;
mod token;

use std::io;
use std::time::{Duration, Instant};

use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::wire::Schema;

use super::lookup;
use crate::args::Call;
use crate::error::CommandError;
use crate::output;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Call) -> Result<(), CommandError> {
    let bus = settings.bus()?;
    let (schema, timeout) = taken(&bus, args)?;
    let object = schema.as_ref().and_then(Schema::kind) == Some("object");
    let inputs = input::read(&args.args, object, io::stdin().lock())?;
    let params = params::params(&inputs, schema.as_ref(), args.json).map_err(CommandError::Usage)?;
    let mut request = bus.request(&args.method).timeout(timeout);
    if let Some(instance) = &args.instance {
        request = request.instance(instance);
    }
    let result = request.call_raw(&params).map_err(explain)?;
    output::print_raw(|out| result::write(out, &result, args.output))
}

/// What the method takes, where that matters, and how much of the time is left.
fn taken(bus: &Bus, args: &Call) -> Result<(Option<Schema>, Duration), CommandError> {
    // Only arguments that are not JSON already have to be read as something.
    if args.json || args.args.is_empty() {
        return Ok((None, args.timeout));
    }
    let begun = Instant::now();
    let (method, waited) = lookup::method(bus, &args.method, args.timeout)?;
    let spent = if waited { begun.elapsed() } else { Duration::ZERO };
    Ok((method.and_then(|method| method.params), args.timeout.saturating_sub(spent)))
}

/// Shows what the plugin added to its error.
fn explain(error: CallError) -> CommandError {
    if let CallError::Plugin { plugin, mut fault } = error {
        if let Some(data) = fault.data.as_deref().and_then(json::compact) {
            fault.message = format!("{}\nwith {data}", fault.message);
        }
        return CallError::Plugin { plugin, fault }.into();
    }
    error.into()
}
