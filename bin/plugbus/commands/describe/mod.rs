//! `plugbus describe`: what plugins can be asked for.

mod words;

use std::io::{self, Write};
use std::time::Duration;

use plugbus::bus::Card;
use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::wire::{MethodInfo, Streams, nearest};
use serde::Serialize;

use self::words::{example, fields, in_short};
use super::control::SUPERVISOR;
use super::lookup::{self, Wanted};
use crate::args::Describe;
use crate::error::CommandError;
use crate::output::{self, BOLD, DIM, one_line};
use crate::settings::Settings;

/// How long a plugin that is being restarted is waited for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One plugin, all its instances together.
#[derive(Debug, Serialize)]
struct Description {
    name: String,
    version: String,
    instances: Vec<String>,
    methods: Vec<MethodInfo>,
}

pub(super) fn run(settings: &Settings, args: &Describe) -> Result<(), CommandError> {
    let bus = settings.bus()?;
    let found = match &args.what {
        None => describe(&cards_of_all(&bus)?, Wanted::default()),
        Some(what) => find(&bus, what)?,
    };
    if args.json {
        return output::print_json(&found);
    }
    output::print(|out| match (&args.what, found.as_slice()) {
        (Some(what), [only]) if *what != only.name => {
            only.methods.iter().try_for_each(|method| write_method(out, only, method))
        }
        _ => write_all(out, &found),
    })
}

/// The help for one method.
pub(super) fn method(settings: &Settings, what: &str) -> Result<(), CommandError> {
    let found = find(&settings.bus()?, what)?;
    output::print(|out| {
        let methods = found.iter().flat_map(|plugin| plugin.methods.iter().map(move |method| (plugin, method)));
        methods.into_iter().try_for_each(|(plugin, method)| write_method(out, plugin, method))
    })
}

fn cards_of_all(bus: &Bus) -> Result<Vec<Card>, CallError> {
    let mut cards = bus.plugins()?;
    if cards.is_empty() {
        return Err(CallError::NoBus(bus.directory().path().into()));
    }
    // People look for their own plugins first.
    cards.sort_by_key(|card| card.name == SUPERVISOR);
    Ok(cards)
}

/// A plugin, or a method of one; a plugin that is being restarted is waited for.
fn find(bus: &Bus, what: &str) -> Result<Vec<Description>, CallError> {
    let plugin = Wanted { plugin: Some(what), method: None };
    let known = || -> Result<_, CallError> {
        let cards = cards_of_all(bus)?;
        let is_plugin = plugin.among(&cards).next().is_some();
        let found = describe(&cards, if is_plugin { plugin } else { Wanted::method(what, &cards) });
        Ok((cards, found))
    };
    let (cards, mut found) = known()?;
    // The supervisor refuses at once what it never heard of.
    if found.is_empty()
        && (lookup::wait(bus, plugin, TIMEOUT)? || lookup::wait(bus, Wanted::method(what, &cards), TIMEOUT)?)
    {
        found = known()?.1;
    }
    if found.is_empty() { Err(missing(what, &cards)) } else { Ok(found) }
}

fn missing(what: &str, cards: &[Card]) -> CallError {
    let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
    let methods = |plugin: Option<&str>| -> Vec<&str> {
        let cards = cards.iter().filter(|card| plugin.is_none_or(|plugin| plugin == card.name));
        cards.flat_map(|card| &card.methods).map(|method| method.name.as_str()).collect()
    };
    if let Some((plugin, method)) = what.split_once('.')
        && cards.iter().any(|card| card.name == plugin)
    {
        let nearest = own(nearest(method, methods(Some(plugin))));
        return CallError::NoSuchMethod { method: method.into(), nearest };
    }
    let plugin = what.split('.').next().unwrap_or(what);
    let names = cards.iter().map(|card| card.name.as_str()).chain(methods(None));
    CallError::NoSuchPlugin { name: plugin.into(), nearest: own(nearest(plugin, names)) }
}

/// One description a plugin; where a method is wanted, with that method alone.
fn describe(cards: &[Card], wanted: Wanted<'_>) -> Vec<Description> {
    let mut found: Vec<Description> = Vec::new();
    for card in wanted.among(cards) {
        if let Some(known) = found.iter_mut().find(|known| known.name == card.name) {
            known.instances.push(card.instance.clone());
            continue;
        }
        let is_wanted = |method: &&MethodInfo| wanted.method.is_none_or(|name| name == method.name);
        found.push(Description {
            name: card.name.clone(),
            version: card.version.clone(),
            instances: vec![card.instance.clone()],
            methods: card.methods.iter().filter(is_wanted).cloned().collect(),
        });
    }
    found
}

fn write_all(out: &mut impl Write, found: &[Description]) -> io::Result<()> {
    for (nth, plugin) in found.iter().enumerate() {
        if nth > 0 {
            writeln!(out)?;
        }
        write!(out, "{BOLD}{}{BOLD:#} {}", plugin.name, one_line(&plugin.version))?;
        if plugin.instances.len() > 1 {
            write!(out, " {DIM}({} instances){DIM:#}", plugin.instances.len())?;
        }
        writeln!(out)?;
        for method in &plugin.methods {
            writeln!(out, "  {}{DIM}{}{DIM:#}", method.name, signature(method))?;
            if !method.doc.is_empty() {
                writeln!(out, "      {}", one_line(&method.doc))?;
            }
        }
    }
    Ok(())
}

/// What it takes and what it gives back: ` {text: string, width: integer} -> [string]`; `string...` comes one by one.
fn signature(method: &MethodInfo) -> String {
    let (takes, gives) = match method.streams {
        Some(Streams::Out) => ("", "..."),
        Some(Streams::In) => ("...", ""),
        Some(Streams::Both) => ("...", "..."),
        _ => ("", ""),
    };
    let params = in_short(method.params.as_ref()).map(|params| format!(" {params}{takes}")).unwrap_or_default();
    let result = in_short(method.result.as_ref()).map(|result| format!(" -> {result}{gives}")).unwrap_or_default();
    params + &result
}

fn write_method(out: &mut impl Write, plugin: &Description, method: &MethodInfo) -> io::Result<()> {
    writeln!(out, "{BOLD}{}.{}{BOLD:#}{DIM}{}{DIM:#}", plugin.name, method.name, signature(method))?;
    if !method.doc.is_empty() {
        writeln!(out, "  {}", one_line(&method.doc))?;
    }
    for (what, schema) in [("takes", &method.params), ("returns", &method.result)] {
        write_fields(out, what, &schema.as_ref().map(words::value).unwrap_or_default())?;
    }
    let streams = match method.streams {
        Some(Streams::Out) => "gives its items one by one",
        Some(Streams::In) => "takes its items one by one",
        Some(Streams::Both) => "takes and gives its items one by one",
        _ => "",
    };
    if !streams.is_empty() {
        writeln!(out, "  It {streams}.")?;
    }
    if method.idempotent {
        writeln!(out, "  Running it twice is as good as running it once.")?;
    }
    if let Some(millis) = method.typical_ms {
        let time = humantime::format_duration(Duration::from_millis(millis));
        writeln!(out, "  It takes {time} as a rule.")?;
    }
    writeln!(out, "  {DIM}plugbus call {}.{}{}{DIM:#}", plugin.name, method.name, example(method.params.as_ref()))
}

/// The fields of an object, one a line.
fn write_fields(out: &mut impl Write, what: &str, schema: &serde_json::Value) -> io::Result<()> {
    let fields = fields(schema);
    let width = fields.iter().map(|field| field.name.chars().count()).max().unwrap_or_default();
    for (nth, field) in fields.iter().enumerate() {
        let what = if nth == 0 { what } else { "" };
        let optional = if field.required { "" } else { ", may be left out" };
        write!(out, "  {what:<8} {:<width$}  {DIM}{}{optional}{DIM:#}", field.name, field.what)?;
        writeln!(out, "{}{}", if field.doc.is_empty() { "" } else { "  " }, field.doc)?;
    }
    Ok(())
}
