//! Many items: a call for each of them, or one stream.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use plugbus::host::blocking::Bus;
use plugbus::plugin::{Failure, Items, Plugin};

use crate::contestant::{Contestant, Kind, PLACES};
use crate::ours::ROLE;
use crate::support::{head, row, wait_on_bus};
use crate::table::{NOTHING, per_second};

/// In each turn.
const BY_CALL: usize = 20_000;
const BY_STREAM: usize = 400_000;
const TEXT: usize = 26;
const PAGE: usize = 4096;

pub(crate) fn all() -> Vec<Contestant> {
    let itself = std::env::current_exe().unwrap();
    let one = |name, bytes, role| {
        let mut contestant = Contestant::new(name, Kind::Items { bytes }, &itself);
        contestant.variables.push((ROLE, role));
        contestant.many = true;
        contestant
    };
    vec![
        one("26 bytes, a call for each", TEXT, "26 bytes by call"),
        one("26 bytes, one stream", TEXT, "26 bytes by stream"),
        one("4 KiB, a call for each", PAGE, "4 KiB by call"),
        one("4 KiB, one stream", PAGE, "4 KiB by stream"),
    ]
}

/// Whether that role was one of these.
pub(crate) fn play(role: &str, root: &Path) -> bool {
    match role {
        "plugin of items" => plugin(),
        "26 bytes by call" => by_call(root, TEXT),
        "26 bytes by stream" => by_stream(root, TEXT),
        "4 KiB by call" => by_call(root, PAGE),
        "4 KiB by stream" => by_stream(root, PAGE),
        _ => return false,
    }
    true
}

fn plugin() {
    let item = |bytes: usize| Ok::<_, Failure>("x".repeat(bytes));
    let items = |bytes: usize| Ok::<_, Failure>(Items::of(std::iter::repeat("x".repeat(bytes))).endless());
    let plugin = Plugin::new("bench", "1.0.0").method("item", "A text.", item);
    plugin.method("items", "Texts.", items).serve().unwrap();
}

fn start(root: &Path) -> (crate::support::Plugin, Bus) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let plugin = wait_on_bus(command.env(ROLE, "plugin of items").env("PLUGBUS_DIR", root));
    (plugin, Bus::at(root.join("default")).unwrap())
}

fn by_call(root: &Path, bytes: usize) {
    let (_plugin, bus) = start(root);
    rate(BY_CALL, || assert_eq!(bus.call::<String, _>("bench.item", &bytes).unwrap().len(), bytes));
}

fn by_stream(root: &Path, bytes: usize) {
    let (_plugin, bus) = start(root);
    let mut items = bus.request("bench.items").stream::<String, _>(&bytes).unwrap();
    rate(BY_STREAM, || assert_eq!(items.next().unwrap().unwrap().len(), bytes));
}

fn rate(count: usize, mut take: impl FnMut()) {
    (0..count / 10).for_each(|_| take());
    let start = Instant::now();
    (0..count).for_each(|_| take());
    println!("rate {:.0}", count as f64 / start.elapsed().as_secs_f64());
}

/// The table of them.
pub(crate) fn print(all: &[Contestant]) {
    head(&["items, blocking host", "free", "one core", "MB/s, free", "MB/s, one core"]);
    for one in all {
        let Kind::Items { bytes } = one.kind else { continue };
        let rates = PLACES.map(|place| one.seen(place).rate());
        let mut cells = vec![one.name.to_owned()];
        cells.extend(rates.map(|rate| rate.map_or(NOTHING.into(), per_second)));
        cells.extend(rates.map(|rate| rate.map_or(NOTHING.into(), |it| format!("{:.1}", it * bytes as f64 / 1e6))));
        row(cells);
    }
}
