//! `plugbus describe`: what plugins can be asked for.

use std::io::{self, Write};
use std::time::Duration;

use plugbus::bus::Card;
use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::wire::{MethodInfo, Schema, nearest};
use serde::Serialize;

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
            writeln!(out, "  {}{DIM}{}{DIM:#}", method.name, in_short(method.params.as_ref()))?;
            if !method.doc.is_empty() {
                writeln!(out, "      {}", one_line(&method.doc))?;
            }
        }
    }
    Ok(())
}

fn write_method(out: &mut impl Write, plugin: &Description, method: &MethodInfo) -> io::Result<()> {
    let params = in_short(method.params.as_ref());
    writeln!(out, "{BOLD}{}.{}{BOLD:#}{DIM}{params}{DIM:#}", plugin.name, method.name)?;
    if !method.doc.is_empty() {
        writeln!(out, "  {}", one_line(&method.doc))?;
    }
    if method.idempotent {
        writeln!(out, "  Running it twice is as good as running it once.")?;
    }
    for (what, schema) in [("takes", &method.params), ("returns", &method.result)] {
        if let Some(schema) = schema {
            writeln!(out, "  {what}: {}", one_line(&schema.to_string()))?;
        }
    }
    writeln!(out, "  {DIM}plugbus call {}.{}{}{DIM:#}", plugin.name, method.name, example(method.params.as_ref()))
}

/// What a method takes, as a person writes types: ` string`, ` {text: string, width?: integer}`, or nothing.
fn in_short(schema: Option<&Schema>) -> String {
    let Some(schema) = schema else { return String::new() };
    match schema.kind() {
        Some("object") => {
            let field = |(name, schema, required): (String, Schema, bool)| {
                let optional = if required { "" } else { "?" };
                format!("{}{optional}: {}", one_line(&name), schema.kind().map_or("any".into(), one_line))
            };
            format!(" {{{}}}", schema.properties().into_iter().map(field).collect::<Vec<_>>().join(", "))
        }
        Some("null") => String::new(),
        Some(kind) => format!(" {}", one_line(kind)),
        None => " any".into(),
    }
}

/// Arguments as they could be typed.
fn example(schema: Option<&Schema>) -> String {
    let argument = |kind: Option<&str>| match kind {
        Some("integer" | "number") => "1",
        Some("boolean") => "true",
        Some("array") => "'[]'",
        Some("object") => "'{}'",
        _ => "TEXT",
    };
    match schema {
        None => " [ARG]...".into(),
        Some(schema) if schema.kind() == Some("null") => String::new(),
        Some(schema) if schema.kind() == Some("object") && !schema.properties().is_empty() => {
            let fields = schema.properties();
            let required = fields.iter().filter(|(_, _, required)| *required);
            required.map(|(name, schema, _)| format!(" {}={}", one_line(name), argument(schema.kind()))).collect()
        }
        Some(schema) => format!(" {}", argument(schema.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_in_short() {
        for (schema, short, typed) in [
            (r#"{"type": "string"}"#, " string", " TEXT"),
            (r#"{"type": "array"}"#, " array", " '[]'"),
            (r#"{"type": "null"}"#, "", ""),
            (r#"{"enum": ["a"]}"#, " any", " TEXT"),
            (
                r#"{"type": "object", "properties": {"text": {"type": "string"}, "width": {"type": "integer"}}, "required": ["text"]}"#,
                " {text: string, width?: integer}",
                " text=TEXT",
            ),
        ] {
            let schema = Schema::from_json(schema).unwrap();
            assert_eq!((in_short(Some(&schema)).as_str(), example(Some(&schema)).as_str()), (short, typed));
        }
    }
}
