//! The figures as Markdown, ready for docs/performance.md.

use crate::contestant::{Contestant, Kind, PLACES, Place};
use crate::items;
use crate::memory::Memory;
use crate::support::{Timings, head, machine, micros, row};

pub(crate) const NOTHING: &str = "–";

pub(crate) fn print(all: &[Contestant], memory: &Memory, rounds: usize) {
    println!("{}; {rounds} rounds of 2,000 calls after 2,000.\n", machine());
    calls(all);
    println!();
    mebibytes(all);
    println!();
    items::print(all);
    println!();
    head(&["memory", "seen"]);
    row(["an idle plugin, resident", &format!("{:.1} MiB", memory.plugin as f64 / 1024.0)]);
    row(["an idle connection (of 1,000), in the caller", &format!("{:.1} KiB", memory.connection_in_caller)]);
    row(["the same in the plugin", &format!("{:.1} KiB", memory.connection_in_plugin)]);
}

fn calls(all: &[Contestant]) {
    head(&[
        "one `revert`",
        "× floor, free",
        "× floor, one core",
        "× ours, free",
        "× ours, one core",
        "p50 and p99, free",
        "p50 and p99, one core",
        "64 callers, free",
        "64 callers, one core",
    ]);
    for one in all.iter().filter(|one| one.kind.is_of_calls()) {
        if let Some(why) = &one.skipped {
            row([one.name, &format!("skipped: {why}")]);
            continue;
        }
        let mut cells = vec![one.name.to_owned()];
        for base in [Kind::Floor, Kind::Blocking] {
            cells.extend(PLACES.map(|place| ratio(median(Some(one), place), median(find(all, base), place))));
        }
        cells.extend(PLACES.map(|place| one.seen(place).timings().map_or(NOTHING.into(), |it| both(&it))));
        cells.extend(PLACES.map(|place| one.seen(place).rate().map_or(NOTHING.into(), per_second)));
        row(cells);
    }
}

fn mebibytes(all: &[Contestant]) {
    let them: Vec<_> = all.iter().filter(|one| matches!(one.kind, Kind::Mebibyte { .. })).collect();
    head(&["a result of 1 MiB", "of the raw socket, free", "of the raw socket, one core", "free", "one core"]);
    for one in &them {
        let mut cells = vec![one.name.to_owned()];
        let share = |place| median(Some(them[0]), place).zip(median(Some(one), place)).map(|(raw, it)| raw / it);
        cells.extend(PLACES.map(|place| share(place).map_or(NOTHING.into(), |it| format!("{:.0} %", it * 100.0))));
        let speed = |place| median(Some(one), place).map_or(NOTHING.into(), |it| format!("{:.0} MiB/s", 1.0 / it));
        cells.extend(PLACES.map(speed));
        row(cells);
    }
}

fn both(timings: &Timings) -> String {
    format!("{}, {}", micros(timings.median()), micros(timings.percentile(99.0)))
}

fn ratio(it: Option<f64>, base: Option<f64>) -> String {
    it.zip(base).map_or(NOTHING.into(), |(it, base)| format!("{:.1}", it / base))
}

/// The one contestant of that kind.
pub(crate) fn find(all: &[Contestant], kind: Kind) -> Option<&Contestant> {
    all.iter().find(|one| one.kind == kind)
}

/// In seconds.
pub(crate) fn median(one: Option<&Contestant>, place: Place) -> Option<f64> {
    Some(one?.seen(place).timings()?.median().as_secs_f64())
}

pub(crate) fn per_second(rate: f64) -> String {
    let (rate, thousands) = (rate as u64, rate as u64 / 1_000);
    match thousands {
        0 => format!("{rate}/s"),
        1..1_000 => format!("{thousands},{:03}/s", rate % 1_000),
        _ => format!("{},{:03},{:03}/s", thousands / 1_000, thousands % 1_000, rate % 1_000),
    }
}
