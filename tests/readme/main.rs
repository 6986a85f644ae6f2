//! Runs every command of README.md, as a reader would type it.
//!
//! One bash session, started in the root of the clone, is typed all ```` ```sh ```` blocks from top to bottom:
//!
//! - A command that fails, or takes longer than its deadline, fails the test. Nothing is put on the `PATH` that the
//!   README does not put there, save the folder in which `cargo install` leaves its programs.
//! - `# prints: TEXT` below a command is a line of its standard output; `…` in it stands for any text. With one such
//!   line, all of the output has to be written down; with none, it may print what it likes.
//! - A command that ends in `&` has to bring something onto the bus before the next one is typed, gets SIGTERM at
//!   the end of the README, and has to exit with 0 then, leaving no process and no endpoint.
//! - `XDG_RUNTIME_DIR` is private, so the bus is not the one of whoever runs the test.
//! - `make test` alone is not typed: it is what runs this.
//!
//! Blocks tagged `console` or `text` are only shown; `rust`, `toml` and `python` belong to other tests. Anything
//! else, no tag among them, is refused, so that no command hides in it.

mod markdown;
mod session;

use std::path::Path;

use markdown::Step;
use session::Session;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("README.md")
}

#[test]
fn every_command_does_what_the_readme_says() {
    let steps = markdown::steps(&readme()).unwrap_or_else(|problem| panic!("{problem}"));
    let typed: Vec<&Step> = steps.iter().filter(|step| step.command != "make test").collect();
    assert!(!typed.is_empty(), "the README has no command to run");

    let mut session = Session::start(root());
    for step in typed {
        session.run(step).unwrap_or_else(|problem| panic!("{problem}"));
    }
    session.finish().unwrap_or_else(|problem| panic!("{problem}"));
}

/// What docs/security.md says of signed plugins, in an empty directory.
#[test]
fn every_command_does_what_the_page_on_security_says() {
    let page = std::fs::read_to_string(root().join("docs/security.md")).expect("docs/security.md");
    let steps = markdown::steps(&page).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(steps.len() > 5, "the page has {} commands", steps.len());
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut session = Session::start(place.path());
    let programs = Path::new(env!("CARGO_BIN_EXE_plugbus")).parent().expect("a directory");
    let path = format!("export PATH='{}':\"$PATH\"", programs.display());
    let first = Step { line: 0, command: path, prints: Vec::new() };
    for step in [&first].into_iter().chain(&steps) {
        session.run(step).unwrap_or_else(|problem| panic!("docs/security.md: {problem}"));
    }
    session.finish().unwrap_or_else(|problem| panic!("{problem}"));
}

#[test]
fn ci_runs_the_one_command_that_is_not_typed_here() {
    let script = std::fs::read_to_string(root().join(".ci/run")).expect(".ci/run");
    assert!(script.lines().any(|line| line.starts_with("exec make test")), "{script}");
}

#[test]
fn the_readme_is_at_most_700_words() {
    let words = readme().split_whitespace().count();
    assert!(words <= 700, "{words} words, code included");
}
