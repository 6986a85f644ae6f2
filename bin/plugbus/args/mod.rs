//! The command line as it is typed; what follows from it is settled in `settings`.

mod orders;
mod trust;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;
use plugbus::wire::Traceparent;

use crate::{complete, exit_code};
pub(crate) use orders::{Add, Names, Reload, Restart, Scale, Stop, Waiting};
pub(crate) use trust::{Keygen, Lock, Password, Sign, Verify};

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
    #[arg(long, global = true, display_order = 90, value_name = "NAME", add = ArgValueCandidates::new(complete::buses))]
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
    Supervise(Supervise),
    /// Call a method of a plugin and print its result
    #[command(after_help = CALL_HELP)]
    Call(Call),
    /// Show where every plugin stands, and why
    Status(Status),
    /// Show how often methods are called, how long they take, and how they fail
    Stats(Stats),
    /// Ask all plugins at once whether they are alive
    Survey(Json),
    /// Show what plugins can be asked for
    Describe(Describe),
    /// Show what plugins print, or have printed
    Logs(Logs),
    /// Show what happened to plugins, and why
    Events(Events),
    /// Start plugins, and wait until they are ready
    Start(Names),
    /// Stop plugins; they stay stopped until they are started
    Stop(Stop),
    /// Stop plugins and start them anew
    Restart(Restart),
    /// Read the configuration anew, and change exactly what changed in it
    Reload(Reload),
    /// Forget the failures of plugins and try again at once
    Reset(Names),
    /// Put plugins in service again, and start them
    Enable(Names),
    /// Stop plugins and take them out of service
    Disable(Names),
    /// Run more or fewer instances of a plugin
    Scale(Scale),
    /// Add a plugin that no configuration has, and start it
    Add(Add),
    /// Stop plugins, and forget them
    Remove(Names),
    /// Check a configuration and name all that is wrong with it
    Check(Check),
    /// Show which programs have changed since they were pinned, and accept that
    Lock(Lock),
    /// Make a key that signs programs, as minisign does
    Keygen(Keygen),
    /// Sign programs, as minisign does
    Sign(Sign),
    /// Check the signatures of programs, as minisign does
    Verify(Verify),
    /// See the whole story: call, kill, freeze, recover, stop
    Demo,
    /// Print a unit file for systemd
    Unit(Unit),
    /// Read what plugins print and write their logs; a supervisor starts this by itself
    #[command(hide = true)]
    Sink {
        /// The bus directory
        directory: PathBuf,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// How the supervisor runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Supervise {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Return as soon as it can be called, and go on in the background
    #[arg(long)]
    pub(crate) detach: bool,
    /// Accept programs that have changed, and restart what was rebuilt
    #[arg(long)]
    pub(crate) dev: bool,
    /// With --detach: a file for its process id, removed when it ends
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// What --detach starts.
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub(crate) detached: bool,
}

/// A unit file for systemd.
#[derive(Debug, clap::Args)]
pub(crate) struct Unit {
    #[command(flatten)]
    pub(crate) config: Config,
    /// For the user's own service manager (systemctl --user)
    #[arg(long, conflicts_with = "account")]
    pub(crate) user: bool,
    /// The user that it runs as, where it is not root
    #[arg(long, value_name = "USER")]
    pub(crate) account: Option<String>,
    /// How long stopping all plugins may take before they are killed
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = humantime::parse_duration)]
    pub(crate) stop_timeout: Duration,
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
#[command(disable_help_flag = true)]
pub(crate) struct Call {
    /// The method, with the plugin's name in front where several plugins have it
    #[arg(
        value_name = "[PLUGIN.]METHOD",
        required_unless_present = "help",
        add = ArgValueCandidates::new(complete::methods)
    )]
    pub(crate) method: Option<String>,
    /// What the method is given
    #[arg(value_name = "ARG", allow_negative_numbers = true, add = ArgValueCandidates::new(complete::fields))]
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
    #[arg(long, value_name = "INSTANCE", add = ArgValueCandidates::new(complete::instances))]
    pub(crate) instance: Option<String>,
    /// The trace that the call is part of, as W3C Trace Context has it [env: TRACEPARENT]
    #[arg(long, value_name = "00-TRACE-SPAN-FLAGS")]
    pub(crate) traceparent: Option<Traceparent>,
    /// Send the arguments even where the method's schema forbids them
    #[arg(long)]
    pub(crate) unchecked: bool,
    /// Print help; with a METHOD, what that takes and returns
    #[arg(short, long)]
    pub(crate) help: bool,
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

/// What is counted of each method.
#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    /// Whose; all but the supervisor's without any
    #[arg(value_name = "PLUGIN", add = ArgValueCandidates::new(complete::plugins))]
    pub(crate) plugins: Vec<String>,
    /// A line for each instance, instead of one for all of them together
    #[arg(long)]
    pub(crate) each: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Stay and show it anew each second, with how many calls there were
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// What plugins printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Whose; everybody's without any
    #[arg(value_name = "PLUGIN", add = ArgValueCandidates::new(complete::logged))]
    pub(crate) plugins: Vec<String>,
    #[command(flatten)]
    pub(crate) range: Range,
    /// Print a JSON object for each line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What happened to plugins.
#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    /// Whose; everybody's and the supervisor's own without any
    #[arg(value_name = "PLUGIN", add = ArgValueCandidates::new(complete::logged))]
    pub(crate) plugins: Vec<String>,
    #[command(flatten)]
    pub(crate) range: Range,
    /// Print a JSON object for each event, as it stands in the log
    #[arg(long)]
    pub(crate) json: bool,
}

/// How much of a log.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Range {
    /// Stay and show what comes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only what is not older than this, `5m` for instance
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) since: Option<Duration>,
    /// Only the last so many; 10 with --follow, unless --since is given
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub(crate) lines: Option<u64>,
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
    #[arg(value_name = "PLUGIN[.METHOD]", add = ArgValueCandidates::new(complete::described))]
    pub(crate) what: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) config: Config,
    /// List what each plugin can do, and how much that is, from 0 to 10
    #[arg(long)]
    pub(crate) security: bool,
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
