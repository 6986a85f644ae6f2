//! Faults, and what became of them: `make faults`, or `cargo bench --bench faults -- [--short] [ID]...`.
//!
//! Every row is a test of the reliability page, `docs/reliability.md`, under its id there: a real fault done to
//! real processes so and so often, what was seen, and the bound that it has to keep. A letter is a file: `crash`
//! (C), `hang` (H), `stop` (S), `output` (L), `upgrade` (U), `config` (G), `environment` (E).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "it prints its table, and a fault that cannot be done fails"
)]

mod act;
mod config;
mod crash;
mod environment;
mod figure;
mod ground;
mod hang;
#[path = "../support/mod.rs"]
mod measure;
mod output;
mod peers;
mod stop;
#[allow(dead_code, unused_imports, reason = "the tests' own, of which this uses a part")]
#[path = "../../tests/integration/support/mod.rs"]
mod support;
mod upgrade;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use figure::{Figure, Size};

/// One fault: its id, what is done, and the function that does it.
type Fault = (&'static str, &'static str, fn(Size) -> Vec<Figure>);

fn main() -> ExitCode {
    if act::wanted() {
        return act::run();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says so; `cargo test` does not, and wants the short run.
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let size = if has("--bench") && !has("--short") { Size::Full } else { Size::Short };
    let ids: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    println!("{}\n", measure::machine());
    measure::head(&["id", "fault", "seen", "bound", ""]);
    let faults = [
        crash::FAULTS,
        hang::FAULTS,
        stop::FAULTS,
        output::FAULTS,
        upgrade::FAULTS,
        config::FAULTS,
        environment::FAULTS,
        peers::FAULTS,
    ]
    .concat();
    let wanted = |id: &str| {
        ids.is_empty() || ids.iter().any(|wanted| wanted.as_str() == id || id.starts_with(wanted.as_str()))
    };
    let (mut held, mut broken) = (0, 0);
    // Others are beside us for the comparison alone, which a short run is none.
    let belongs = |id: &str| size == Size::Full || !ids.is_empty() || !id.starts_with("peer");
    for (id, what, run) in faults.into_iter().filter(|(id, ..)| wanted(id) && belongs(id)) {
        let begun = Instant::now();
        for figure in
            catch_unwind(AssertUnwindSafe(|| run(size))).unwrap_or_else(|panic| vec![Figure::panicked(&*panic)])
        {
            figure.print(id, what);
            // Speed is for the full run to judge: a test must not fail because the machine is busy.
            let fine = figure.held || (figure.timing && size == Size::Short);
            if fine { held += 1 } else { broken += 1 }
        }
        eprintln!("{id} took {:.1} s", begun.elapsed().as_secs_f64());
    }
    println!("\n{held} passed, {broken} failed");
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
