//! The command line as it is typed; what follows from it is settled in `settings`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use crate::exit_code;

/// Run plugins as processes on a bus without a broker, and call them.
#[derive(Debug, Parser)]
#[command(name = "plugbus", version, arg_required_else_help = true, after_help = exit_code::table())]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Which bus, where it is not `default` [env: PLUGBUS_BUS]
    #[arg(long, global = true, display_order = 90, value_name = "NAME")]
    pub(crate) bus: Option<String>,
    /// When to use colours; `auto` also obeys NO_COLOR
    #[arg(long, global = true, display_order = 91, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// Say less on standard error; twice: errors alone
    #[arg(short, long, global = true, display_order = 92, action = ArgAction::Count, conflicts_with = "verbose")]
    pub(crate) quiet: u8,
    /// Say more on standard error; twice: everything
    #[arg(short, long, global = true, display_order = 93, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run plugins from configuration files, and keep them running
    Supervise(Config),
    /// Call a method of a plugin and print its result
    #[command(after_help = CALL_HELP)]
    Call(Call),
    /// Show where every plugin stands, and why
    Status(Status),
    /// Ask all plugins at once whether they are alive
    Survey(Json),
    /// Show what plugins can be asked for
    Describe(Describe),
    /// Check a configuration and name all that is wrong with it
    Check(Check),
    /// See the whole story: call, kill, freeze, recover, stop
    Demo,
    /// Print completions for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Which configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    /// A file, or a directory of *.toml; may be repeated, what is read later wins
    ///
    /// Without any: $PLUGBUS_CONFIG, ./plugbus.toml, plugbus/plugbus.toml in $XDG_CONFIG_HOME (or ~/.config),
    /// /etc/plugbus/plugbus.toml.
    #[arg(short, long = "config", value_name = "FILE|DIR")]
    pub(crate) config: Vec<PathBuf>,
}

const CALL_HELP: &str = "\
Arguments are texts, unless the method's schema says otherwise: where it takes a number, a truth value, a list or \
an object, they are read as JSON. Without an argument there are no parameters; one is the value itself; several, \
or one where the method takes a list, make a list. An object may also be written as KEY=VALUE arguments. `-` \
stands for standard input, less one newline at its end.

Examples:
  plugbus call revert \"Live on time, emit no evil\"
  plugbus call text.wrap width=20 text=- < README.md
  plugbus call --json text.wrap '{\"text\": \"one two three\", \"width\": 7}'";

/// One call.
#[derive(Debug, clap::Args)]
pub(crate) struct Call {
    /// The method, with the plugin's name in front where several plugins have it
    #[arg(value_name = "[PLUGIN.]METHOD")]
    pub(crate) method: String,
    /// What the method is given
    #[arg(value_name = "ARG", allow_negative_numbers = true)]
    pub(crate) args: Vec<OsString>,
    /// Every ARG is JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// How long the call may take, waiting for a restart included
    #[arg(short, long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// The one instance that may answer
    #[arg(long, value_name = "INSTANCE")]
    pub(crate) instance: Option<String>,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A text as it is, bytes as they are, nothing for nil, anything else as JSON to read
    Text,
    /// JSON on one line
    Json,
    /// The bytes of the MessagePack value
    Msgpack,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Stay and show it anew each second
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Json {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// A plugin, or one of its methods
    #[arg(value_name = "PLUGIN[.METHOD]")]
    pub(crate) what: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn negative_numbers_are_arguments_and_options_may_follow() {
        let args = Args::try_parse_from(["plugbus", "call", "add", "-1", "2", "--timeout", "2s"]).unwrap();
        let Command::Call(call) = args.command else { panic!("{args:?}") };
        assert_eq!((call.args, call.timeout), (vec!["-1".into(), "2".into()], Duration::from_secs(2)));
    }
}
