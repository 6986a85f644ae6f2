//! What was aimed at, and whether it was reached.

use crate::contestant::{Contestant, Kind, PLACES, Place};
use crate::memory::Memory;
use crate::support::{head, row};
use crate::table::{find, median, per_second};

const OF_FLOOR: [f64; 2] = [4.0, 2.0];
const OF_FASTEST_PEER: f64 = 0.5;
const ASYNC_OF_FLOOR_ON_ONE_CORE: f64 = 2.5;
const CALLS_PER_SECOND: f64 = 400_000.0;
const OF_BEST_PEER: f64 = 3.0;
const OF_RAW_SOCKET: f64 = 0.6;
const PLUGIN_MIB: f64 = 4.0;
const CONNECTION_KIB: f64 = 16.0;
const WHERE: [&str; 2] = ["free", "one core"];

pub(crate) fn print(all: &[Contestant], memory: &Memory) {
    println!();
    head(&["aim", "seen", ""]);
    for place in PLACES {
        of_floor_and_peers(all, place);
    }
    callers(all);
    for (made, what) in [(false, "1 MiB results"), (true, "1 MiB results, made for each call")] {
        if let Some(share) = mebibytes(all, made) {
            let aim = format!("{what}, free: 60 % of the raw socket");
            at_least(&aim, share, OF_RAW_SOCKET, |it| format!("{:.0} %", it * 100.0));
        }
    }
    let plugin = memory.plugin as f64 / 1024.0;
    at_most("an idle plugin, resident: 4 MiB", plugin, PLUGIN_MIB, |it| format!("{it:.1} MiB"));
    let connection = memory.connection_in_caller;
    at_most("an idle connection's caller: 16 KiB", connection, CONNECTION_KIB, |it| format!("{it:.1} KiB"));
}

fn of_floor_and_peers(all: &[Contestant], place: Place) {
    let times = |it: f64| format!("{it:.2} ×");
    let place_name = WHERE[place as usize];
    let of = |kind, base: Option<f64>| median(find(all, kind), place).zip(base).map(|(it, base)| it / base);
    let floor = median(find(all, Kind::Floor), place);
    if let Some(seen) = of(Kind::Blocking, floor) {
        let bound = OF_FLOOR[place as usize];
        at_most(&format!("blocking, {place_name}: {bound} × floor"), seen, bound, times);
    }
    let peer = fastest_peer(all, place);
    if let Some(seen) = of(Kind::Blocking, peer) {
        at_most(&format!("blocking, {place_name}: half of the fastest peer"), seen, OF_FASTEST_PEER, times);
    }
    if let Some(seen) = of(Kind::Async, peer) {
        at_most(&format!("async, {place_name}: faster than every peer"), seen, 1.0, times);
    }
    if let (Place::OneCore, Some(seen)) = (place, of(Kind::Async, floor)) {
        at_most("async, one core: 2.5 × floor", seen, ASYNC_OF_FLOOR_ON_ONE_CORE, times);
    }
}

fn callers(all: &[Contestant]) {
    let Some(ours) = find(all, Kind::Async).and_then(|one| one.seen(Place::Free).rate()) else { return };
    at_least("64 callers, free: 400,000 calls a second", ours, CALLS_PER_SECOND, per_second);
    let peers = all.iter().filter(|one| one.kind == Kind::Peer).filter_map(|one| one.seen(Place::Free).rate());
    if let Some(best) = peers.max_by(f64::total_cmp) {
        at_least("64 callers, free: 3 × the best peer", ours / best, OF_BEST_PEER, |it| format!("{it:.1} ×"));
    }
}

/// The best of ours, as a share of what the raw socket moves.
fn mebibytes(all: &[Contestant], made: bool) -> Option<f64> {
    let mut them = all.iter().filter(|one| matches!(one.kind, Kind::Mebibyte { .. }));
    let raw = median(them.next(), Place::Free)?;
    let ours = them.filter(|one| one.kind == Kind::Mebibyte { made });
    ours.filter_map(|one| median(Some(one), Place::Free)).min_by(f64::total_cmp).map(|ours| raw / ours)
}

fn fastest_peer(all: &[Contestant], place: Place) -> Option<f64> {
    let peers = all.iter().filter(|one| one.kind == Kind::Peer);
    peers.filter_map(|one| median(Some(one), place)).min_by(f64::total_cmp)
}

fn at_most(aim: &str, seen: f64, bound: f64, show: impl Fn(f64) -> String) {
    row([aim, &show(seen), if seen <= bound { "ok" } else { "short" }]);
}

fn at_least(aim: &str, seen: f64, bound: f64, show: impl Fn(f64) -> String) {
    row([aim, &show(seen), if seen >= bound { "ok" } else { "short" }]);
}
