//! `plugbus call`: one call from the shell.
//!
//! What is looked up before is looked up on this thread; the call itself is a future, for a signal to drop: that
//! cancels it.

mod check;
mod input;
mod json;
mod params;
mod result;
mod seen;
mod stream;
mod token;

use std::io;
use std::time::{Duration, Instant};

use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::wire::{InvalidTraceparent, MethodInfo, Schema, Streams, Traceparent, Trail};
use serde_json::Value;

use self::params::Param;
use super::signals::or_interrupted;
use super::{describe, lookup};
use crate::args::Call;
use crate::error::CommandError;
use crate::output;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Call) -> Result<(), CommandError> {
    let Some(method) = &args.method else { return output::help_of("call") };
    if args.help {
        return describe::method(settings, method);
    }
    let bus = settings.bus()?;
    let (known, timeout) = known(&bus, method, args)?;
    let schema = known.first().and_then(|method| method.params.as_ref());
    let object = !args.json && schema.and_then(Schema::kind).as_deref() == Some("object");
    let trail = trail(args.traceparent);
    let mut request = bus.request(method).timeout(timeout).trail(&trail);
    if let Some(instance) = &args.instance {
        request = request.instance(instance);
    }
    let streams = known.first().and_then(|method| method.streams);
    if let Some(Streams::In | Streams::Both) = streams {
        return stream::feed(request, args, schema);
    }
    let inputs = input::read(&args.args, object, io::stdin().lock())?;
    let params = params::params(&inputs, schema, args.json).map_err(CommandError::Usage)?;
    if !args.unchecked {
        check(method, &params, &known)?;
    }
    if streams.is_some() {
        return stream::read(request, &params, args.output);
    }
    let result = or_interrupted(async { request.into_async().call_raw(&params).await.map_err(explain) })?;
    output::print_raw(|out| result::write(out, &result, args.output))
}

/// The trace that was named, or else that of the script this is run by.
fn trail(named: Option<Traceparent>) -> Trail {
    let set = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let mut trail = Trail::default();
    let inherited = || match set("TRACEPARENT")?.parse() {
        Ok(traceparent) => Some(traceparent),
        Err(error) => {
            let error: InvalidTraceparent = error;
            output::warn(format!("$TRACEPARENT is not heeded: {error}"));
            None
        }
    };
    trail.traceparent = named.or_else(inherited).map(|traceparent| traceparent.to_string());
    trail.tracestate = set("TRACESTATE").filter(|_| trail.traceparent.is_some());
    trail
}

/// What the instances say of the method, and how much of the time is left.
fn known(bus: &Bus, method: &str, args: &Call) -> Result<(Vec<MethodInfo>, Duration), CommandError> {
    let begun = Instant::now();
    let (known, waited) = lookup::method(bus, method, args.instance.as_deref(), args.timeout)?;
    let spent = if waited { begun.elapsed() } else { Duration::ZERO };
    Ok((known, args.timeout.saturating_sub(spent)))
}

/// Refuses what no instance would take: in the middle of an upgrade they may differ.
fn check(method: &str, params: &Param, known: &[MethodInfo]) -> Result<(), CommandError> {
    let schema = |info: &MethodInfo| serde_json::to_value(info.params.as_ref()?).ok();
    let Some(schemas) = known.iter().map(schema).collect::<Option<Vec<Value>>>() else { return Ok(()) };
    let mut problems = schemas.iter().map(|schema| check::problems(params, schema));
    let Some(first) = problems.next() else { return Ok(()) };
    if first.is_empty() || problems.any(|problems| problems.is_empty()) {
        for (name, meant) in schemas.iter().take(1).flat_map(|schema| check::strangers(params, schema)) {
            output::warn(format!("{method} has no {name:?}, which is sent all the same; did you mean {meant}?"));
        }
        return Ok(());
    }
    let problems = first.join("\n");
    Err(CommandError::Usage(format!(
        "{method} does not take that\n{problems}\n`plugbus call {method} --help` has what it takes; --unchecked sends it all the same"
    )))
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
