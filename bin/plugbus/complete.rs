//! What could stand next on the command line, from the bus as it is: for the shell, when somebody presses Tab.
//!
//! The script that `plugbus completions` prints runs this program with [`VARIABLE`] set. Whatever goes wrong, nothing is
//! said and nothing is waited for: somebody is in the middle of typing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;
use std::{env, fs};

use clap::CommandFactory;
use clap_complete::CompletionCandidate;
use clap_complete::env::CompleteEnv;
use plugbus::bus::{BusDir, Card};
use plugbus::host::blocking::Bus;
use plugbus::wire::check_plugin_name;
use serde_json::Value;

use crate::args::Args;
use crate::output::one_line;

/// The variable by which a script says that this is about completion, and for which shell.
pub(crate) const VARIABLE: &str = "PLUGBUS_COMPLETE";

/// How long the supervisor is waited for; it answers within a millisecond, unless it is frozen.
const PATIENCE: Duration = Duration::from_millis(300);

const SUPERVISOR: &str = "supervisor";

/// Completes, where that is what the program was started for.
pub(crate) fn answer() -> bool {
    let asked = env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty());
    // An error here has nobody to read it.
    asked && CompleteEnv::with_factory(Args::command).var(VARIABLE).try_complete(env::args_os(), None).unwrap_or(true)
}

/// Methods with their plugin's name in front, and without where one plugin alone has them.
pub(crate) fn methods() -> Vec<CompletionCandidate> {
    let cards = cards();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for card in &cards {
        for method in &card.methods {
            let whole = format!("{}.{}", card.name, method.name);
            if !seen.insert(whole.clone()) {
                continue;
            }
            let others = cards.iter().any(|other| other.name != card.name && other.offers(&method.name));
            if card.name != SUPERVISOR && !others {
                found.push(candidate(method.name.clone(), &method.doc));
            }
            found.push(candidate(whole, &method.doc));
        }
    }
    found
}

/// Plugins, and methods with their plugin's name in front.
pub(crate) fn described() -> Vec<CompletionCandidate> {
    let names = cards().into_iter().map(|card| candidate(card.name, &card.version));
    names.chain(methods().into_iter().filter(|found| found.get_value().to_string_lossy().contains('.'))).collect()
}

/// What the method that was typed takes, as KEY=.
pub(crate) fn fields() -> Vec<CompletionCandidate> {
    let words: Vec<String> = typed().iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let after = words.iter().position(|word| word == "call").map_or(0, |at| at + 1);
    let cards = cards();
    let offered = |word: &String| {
        let (plugin, method) = word.split_once('.').unzip();
        cards.iter().find_map(|card| {
            let name = if plugin == Some(&card.name) { method? } else { word };
            card.methods.iter().find(|known| known.name == name)
        })
    };
    let method = words.get(after..).into_iter().flatten().find_map(offered);
    let Some(params) = method.and_then(|method| method.params.as_ref()) else { return Vec::new() };
    let properties = params.properties();
    properties
        .into_iter()
        .map(|(name, schema, _)| candidate(format!("{name}="), &schema.kind().unwrap_or_default()))
        .collect()
}

/// Plugins, those without a process among them.
pub(crate) fn plugins() -> Vec<CompletionCandidate> {
    let mut names: BTreeSet<String> = cards().into_iter().map(|card| card.name).collect();
    names.extend(supervised());
    names.remove(SUPERVISOR);
    names.into_iter().map(|name| candidate(name, "")).collect()
}

/// Plugins of which there is a log, and all others.
pub(crate) fn logged() -> Vec<CompletionCandidate> {
    let files = bus_dir().and_then(|bus| fs::read_dir(bus.log_dir()).ok());
    let files = files.into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names = files.filter_map(|file| Some(file.to_str()?.strip_suffix(".log")?.to_owned()));
    let mut names: BTreeSet<String> = names.filter(|name| check_plugin_name(name).is_ok()).collect();
    names.extend(cards().into_iter().map(|card| card.name));
    names.into_iter().map(|name| candidate(name, "")).collect()
}

pub(crate) fn instances() -> Vec<CompletionCandidate> {
    cards().into_iter().map(|card| candidate(card.instance, &card.name)).collect()
}

/// Directories beside the one that is meant.
pub(crate) fn buses() -> Vec<CompletionCandidate> {
    let root = BusDir::locate("default").ok().and_then(|bus| bus.path().parent().map(ToOwned::to_owned));
    let entries = root.and_then(|root| fs::read_dir(root).ok()).into_iter().flatten().flatten();
    let buses = entries.filter(|entry| BusDir::at(entry.path()).check().is_ok());
    let names = buses.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| check_plugin_name(name).is_ok()).map(|name| candidate(name, "")).collect()
}

fn candidate(value: impl Into<OsString>, about: &str) -> CompletionCandidate {
    let about = one_line(about);
    CompletionCandidate::new(value).help((!about.is_empty()).then(|| about.into()))
}

fn cards() -> Vec<Card> {
    bus_dir().and_then(|bus| bus.cards().ok()).unwrap_or_default()
}

/// The names that the supervisor knows.
fn supervised() -> Vec<String> {
    let Some(bus) = bus_dir().and_then(|bus| Bus::at(bus.path()).ok()) else { return Vec::new() };
    let status = bus.request("status").plugin(SUPERVISOR).timeout(PATIENCE).call::<Value, _>(&());
    let plugins = status.ok().and_then(|mut status| Some(status.get_mut("plugins")?.take()));
    let plugins: Vec<Value> = plugins.and_then(|plugins| serde_json::from_value(plugins).ok()).unwrap_or_default();
    plugins.iter().filter_map(|plugin| Some(plugin["name"].as_str()?.to_owned())).collect()
}

/// The bus that is meant by what was typed, else by the environment.
fn bus_dir() -> Option<BusDir> {
    let words = typed();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let named = words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("--bus") {
        Some("") => words.get(at + 1).map(ToString::to_string),
        Some(rest) => rest.strip_prefix('=').map(ToOwned::to_owned),
        None => None,
    });
    let named = named.or_else(|| env::var("PLUGBUS_BUS").ok()).filter(|name| !name.is_empty());
    let bus = BusDir::locate(named.as_deref().unwrap_or("default")).ok()?;
    bus.check().is_ok().then_some(bus)
}

/// The words on the command line, the program's name first.
fn typed() -> Vec<OsString> {
    env::args_os().skip_while(|word| word != "--").skip(1).collect()
}
