//! The command `plugbus`.
//!
//! The way of a command: `args` (as typed) → `settings` (as needed) → `commands` → `output` and `exit_code`. Only
//! what the library makes public is used here.

mod args;
mod commands;
mod complete;
mod error;
mod exit_code;
mod log;
mod notify;
mod output;
mod picture;
mod settings;
mod span;
mod table;
mod tail;

use clap::Parser;

use self::args::Args;
use self::error::CommandError;
use self::exit_code::ExitCode;
use self::settings::Settings;

/// The C library's has a store for each thread, which grows with every crowd that starts at once and is never given back.
#[cfg(target_os = "linux")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> std::process::ExitCode {
    if complete::answer() {
        return ExitCode::Ok.into();
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(answer) => return output::clap(&answer).into(),
    };
    output::set_color(args.common.color);
    let code = match Settings::new(&args.common).and_then(|settings| commands::run(&settings, &args.command)) {
        Ok(()) => ExitCode::Ok,
        Err(error) if error.is_broken_pipe() => ExitCode::Ok,
        // It has said itself why.
        Err(CommandError::Daemon(code)) => return std::process::ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            output::error(&error);
            if let CommandError::Cancelled(signal) = error {
                return exit_code::of_signal(signal);
            }
            ExitCode::of(&error)
        }
    };
    code.into()
}
