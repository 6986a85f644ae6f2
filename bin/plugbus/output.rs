//! The terminal, or what stands in its place: the only module that prints.
//!
//! Results go to standard output and anything else to standard error. Colours are written always and taken out
//! on the way where nobody can see them.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::CommandFactory;
use plugbus::wire::Progress;
use serde::Serialize;

use crate::args::{Args, Color};
use crate::error::CommandError;
use crate::exit_code::ExitCode;

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const FAIR: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Settles for the whole process when colours are used.
pub(crate) fn set_color(color: Color) {
    let choice = match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    choice.write_global();
}

/// Whether what goes to standard error may have colours.
pub(crate) fn stderr_has_color() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// Whether a person sees standard output.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// How many columns standard output has, where it is a terminal.
pub(crate) fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then(|| size.ws_col.into())
}

/// Prints text with styles; all of it is out when this returns.
pub(crate) fn print(
    write: impl FnOnce(&mut AutoStream<StdoutLock<'static>>) -> io::Result<()>,
) -> Result<(), CommandError> {
    let mut out = AutoStream::auto(io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).map_err(CommandError::Output)
}

/// Prints bytes as they are, escape sequences too: a result is the caller's.
pub(crate) fn print_raw(
    write: impl FnOnce(&mut BufWriter<StdoutLock<'static>>) -> io::Result<()>,
) -> Result<(), CommandError> {
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).map_err(CommandError::Output)
}

/// Prints one JSON document on lines of its own.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), CommandError> {
    print_raw(|out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
}

/// Asks whoever sits at the terminal; the answer is typed on the same line.
pub(crate) fn ask(question: &str) {
    let mut out = anstream::stderr().lock();
    let _ = write!(out, "{question}").and_then(|()| out.flush());
}

/// Says something that is not the result.
pub(crate) fn warn(message: impl Display) {
    tell("warning", AnsiColor::Yellow.on_default().bold(), &message.to_string());
}

/// Says why the command failed, with all causes that the error does not name itself.
pub(crate) fn error(error: &dyn Error) {
    tell("error", BAD, &chain(error));
}

/// Lets clap answer: help and version are results, a mistake is not.
pub(crate) fn clap(answer: &clap::Error) -> ExitCode {
    // Nobody may be there to read it; the exit code says the same.
    let _ = answer.print();
    if answer.use_stderr() { ExitCode::Usage } else { ExitCode::Ok }
}

/// Prints the help of a command, as clap would.
pub(crate) fn help_of(command: &str) -> Result<(), CommandError> {
    let mut all = Args::command();
    all.build();
    match all.find_subcommand_mut(command) {
        Some(command) => command.print_long_help().map_err(CommandError::Output),
        None => Ok(()),
    }
}

fn tell(what: &str, style: Style, message: &str) {
    let mut out = anstream::stderr().lock();
    // There is nowhere left to complain to.
    let _ = writeln!(out, "{style}{what}:{style:#} {}", indent(&visible(message)));
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}\nbecause {words}");
        }
        next = cause.source();
    }
    text
}

fn indent(text: &str) -> String {
    text.replace('\n', "\n  ")
}

/// A text of a stranger's, fit for a terminal: control characters are shown, not obeyed.
pub(crate) fn visible(text: &str) -> String {
    let show = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(show).collect()
}

/// As [`visible`], on one line.
pub(crate) fn one_line(text: &str) -> String {
    visible(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// How far a method has got, on a terminal and nowhere else.
#[derive(Debug, Default)]
pub(crate) struct Bar {
    shown: bool,
}

impl Bar {
    /// Draws it in the place of the one before.
    pub(crate) fn show(&mut self, progress: &Progress) {
        if io::stderr().is_terminal() {
            self.shown = true;
            // Nothing depends on it.
            let _ = write!(io::stderr(), "\r{}\x1b[K", bar(progress));
        }
    }

    /// Takes it away, for other lines to be printed.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn bar(Progress { done, total, message }: &Progress) -> String {
    const WIDTH: u64 = 24;
    let words: String = message.as_deref().map(one_line).unwrap_or_default().chars().take(40).collect();
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{done} {words}") };
    let part =
        |of: u64| u64::try_from(u128::from(*done.min(&total)) * u128::from(of) / u128::from(total)).unwrap_or(of);
    let full = usize::try_from(part(WIDTH)).unwrap_or_default();
    format!("[{:<24}] {:3} % {words}", "#".repeat(full), part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start{0}")]
    struct Outer(&'static str, #[source] io::Error);

    #[test]
    fn causes_are_told_once() {
        let cause = || io::Error::other("no room");
        assert_eq!(chain(&Outer("", cause())), "cannot start\nbecause no room");
        assert_eq!(chain(&Outer(": no room", cause())), "cannot start: no room");
    }

    #[test]
    fn strangers_do_not_command_the_terminal() {
        assert_eq!(visible("a\x1b[2Jb\n\u{9b}c"), "a\\u{1b}[2Jb\n\\u{9b}c");
        assert_eq!(one_line(" a\n\tb\x07 "), "a b\\u{7}");
    }

    #[test]
    fn a_bar_shows_how_much_is_done() {
        let message = || Some("reading\x1b".to_owned());
        assert_eq!(bar(&Progress { done: 7, total: None, message: message() }), "7 reading\\u{1b}");
        let half = bar(&Progress { done: 1, total: Some(2), message: None });
        assert_eq!(half, format!("[{}{}]  50 % ", "#".repeat(12), " ".repeat(12)));
        assert!(bar(&Progress { done: u64::MAX, total: Some(1), message: None }).contains("100 %"));
        assert!(bar(&Progress { done: 5, total: Some(0), message: None }).starts_with("5 "));
    }
}
