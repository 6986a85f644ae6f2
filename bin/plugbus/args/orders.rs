//! What the orders to single plugins take.

use std::time::Duration;

use clap::ValueEnum;
use clap_complete::ArgValueCandidates;

use crate::complete;

/// How long an order is waited for, and how its outcome is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct Waiting {
    /// Do not wait until it is done
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait; what was ordered goes on after that
    #[arg(short, long, value_name = "TIME", default_value = "1min", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Plugins by name.
#[derive(Debug, clap::Args)]
pub(crate) struct Names {
    /// Their names; `*` and `?` stand for anything, so '*' is all of them
    #[arg(value_name = "PLUGIN", required = true, add = ArgValueCandidates::new(complete::plugins))]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "plugbus stop [OPTIONS] <PLUGIN>... | --supervisor")]
pub(crate) struct Stop {
    /// Their names; `*` and `?` stand for anything, so '*' is all of them
    #[arg(
        value_name = "PLUGIN",
        required_unless_present = "supervisor",
        conflicts_with = "supervisor",
        add = ArgValueCandidates::new(complete::plugins)
    )]
    pub(crate) names: Vec<String>,
    /// All plugins, then the supervisor itself
    #[arg(long)]
    pub(crate) supervisor: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    pub(crate) names: Names,
    /// One instance after the other, the next when the one before is ready: callers notice nothing
    #[arg(long)]
    pub(crate) rolling: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Scale {
    /// The plugin
    #[arg(value_name = "PLUGIN", add = ArgValueCandidates::new(complete::plugins))]
    pub(crate) name: String,
    /// How many instances are to run, 1 to 64
    #[arg(value_name = "REPLICAS")]
    pub(crate) replicas: u32,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Its name; alone, a plugin of the configuration that was removed
    #[arg(value_name = "PLUGIN")]
    pub(crate) name: String,
    /// The program and its arguments, after --
    #[arg(value_name = "COMMAND", last = true)]
    pub(crate) command: Vec<String>,
    /// A variable for it; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) env: Vec<(String, String)>,
    /// How many instances run at once, 1 to 64
    #[arg(long, value_name = "N")]
    pub(crate) replicas: Option<u32>,
    /// Whether it is started again after it exited
    #[arg(long, value_name = "POLICY", value_enum)]
    pub(crate) restart: Option<RestartPolicy>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
}

/// When a plugin is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl From<RestartPolicy> for plugbus::supervisor::RestartPolicy {
    fn from(policy: RestartPolicy) -> Self {
        match policy {
            RestartPolicy::Always => Self::Always,
            RestartPolicy::OnFailure => Self::OnFailure,
            RestartPolicy::Never => Self::Never,
        }
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reload {
    /// Only say what would change
    #[arg(long)]
    pub(crate) plan: bool,
    /// How long to wait for the supervisor
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
