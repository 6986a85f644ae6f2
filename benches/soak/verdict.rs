//! Whether anything went wrong, was kept, or got slower. The first tenth is for warming up.

use std::process::ExitCode;
use std::time::Duration;

use crate::Seen;
use crate::support::{head, micros, row};

/// Of the second tenth's resident memory.
const GROWN: f64 = 1.05;
/// Buffers that happened to be at rest or not; a leak of one byte a call would be a million in a million calls.
const KEPT_BYTES: i64 = 64 * 1024;
/// Of the median tail of the second to fourth tenth: neighbours make one tenth slower than another.
const SLOWER: f64 = 1.5;
const SIDES: [&str; 2] = ["caller", "plugin"];

pub(crate) fn print(parts: &[Seen]) -> ExitCode {
    let (early, late) = (&parts[1], &parts[parts.len() - 1]);
    println!("\nFrom the second tenth to the last:\n");
    head(&["figure", "seen", "bound", ""]);
    let mut all_well = true;
    let mut judge = |what: &str, seen: String, bound: String, well: bool| {
        all_well &= well;
        row([what, &seen, &bound, if well { "ok" } else { "short" }]);
    };
    let errors: u64 = parts.iter().map(|part| part.errors).sum();
    judge(&format!("errors in {} calls", late.calls), errors.to_string(), "0".into(), errors == 0);
    for (side, name) in SIDES.iter().enumerate() {
        let grown = late.resident_kib[side] as f64 / early.resident_kib[side] as f64;
        judge(&format!("{name}, resident"), format!("{grown:.2} ×"), format!("{GROWN} ×"), grown <= GROWN);
        let kept = late.live[side].bytes - early.live[side].bytes;
        let blocks = late.live[side].blocks - early.live[side].blocks;
        let seen = format!("{kept} bytes, {blocks} blocks more");
        judge(&format!("{name}, heap"), seen, format!("{KEPT_BYTES} bytes"), kept <= KEPT_BYTES);
        let files = late.files[side].cast_signed() - early.files[side].cast_signed();
        judge(&format!("{name}, open files"), format!("{files} more"), "0".into(), files <= 0);
    }
    let [before, after] = [&parts[1..4], &parts[parts.len() - 3..]].map(median_tail);
    let slower = after.as_secs_f64() / before.as_secs_f64();
    let seen = format!("{} to {}: {slower:.2} ×", micros(before), micros(after));
    judge("p99.9, median of three tenths", seen, format!("{SLOWER} ×"), slower <= SLOWER);
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn median_tail(parts: &[Seen]) -> Duration {
    let mut tails: Vec<Duration> = parts.iter().map(|part| part.tail).collect();
    tails.sort_unstable();
    tails[tails.len() / 2]
}
