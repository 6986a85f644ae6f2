//! What a call costs here and elsewhere, in one table from one run: `cargo bench --bench figures`, or `-- --help`.
//!
//! Every contestant is a program of its own that prints one line (`benches/peers/README.md`); ours are this program
//! again. They take turns, so that a machine that slows down or speeds up does so for all of them.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

mod aims;
mod contestant;
mod items;
mod memory;
mod ours;
mod peers;
mod plot;
#[path = "../support/mod.rs"]
mod support;
mod table;

use std::path::PathBuf;

use contestant::Contestant;

const HELP: &str = "\
cargo bench --bench figures -- [--svg DIR] [--rounds N] [--ours]
  --svg DIR    write the plots there too
  --rounds N   turns that each contestant gets (5)
  --ours       leave the peers out";

fn main() {
    if let Ok(role) = std::env::var(ours::ROLE) {
        return ours::play(&role);
    }
    let Some(wishes) = Wishes::read() else { return println!("{HELP}") };
    let memory = memory::measure();
    let mut all = ours::all();
    all.extend(items::all());
    if !wishes.ours_alone {
        all.extend(peers::all());
    }
    for round in 1..=wishes.rounds {
        eprintln!("round {round} of {}", wishes.rounds);
        all.iter_mut().for_each(Contestant::take_turn);
    }
    table::print(&all, &memory, wishes.rounds);
    aims::print(&all, &memory);
    if let Some(directory) = wishes.svg {
        plot::write(&all, &directory);
    }
}

/// What the command line asks for.
struct Wishes {
    svg: Option<PathBuf>,
    rounds: usize,
    ours_alone: bool,
}

impl Wishes {
    fn read() -> Option<Self> {
        let mut wishes = Self { svg: None, rounds: 5, ours_alone: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--svg" => wishes.svg = Some(arguments.next()?.into()),
                "--rounds" => wishes.rounds = arguments.next()?.parse().ok()?,
                "--ours" => wishes.ours_alone = true,
                _ => return None,
            }
        }
        Some(wishes)
    }
}
