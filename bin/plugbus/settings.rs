//! What a command needs, settled from what was typed, the environment and the configuration: the one place of
//! precedence.

use std::env;
use std::path::PathBuf;

use plugbus::bus::{BusDir, BusError};
use plugbus::config::{self, Loaded};
use plugbus::host::{self, blocking};
use plugbus::wire::check_plugin_name;

use crate::args::Common;
use crate::error::CommandError;

/// The bus that is meant where none is named.
const DEFAULT_BUS: &str = "default";

/// What holds for a whole command.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    bus: Option<String>,
    /// How much is said on standard error: 0 as usual, more or less of it above and below.
    pub(crate) verbosity: i16,
}

impl Settings {
    /// An option wins over the environment, and both over a configuration.
    pub(crate) fn new(common: &Common) -> Result<Self, CommandError> {
        let bus = common.bus.clone().or_else(|| set("PLUGBUS_BUS"));
        // A bus is named like a plugin, for the same reason: the name becomes part of a path.
        if let Some(Err(error)) = bus.as_deref().map(check_plugin_name) {
            return Err(CommandError::Usage(error.to_string().replace("a plugin name", "the name of a bus")));
        }
        Ok(Self { bus, verbosity: i16::from(common.verbose) - i16::from(common.quiet) })
    }

    /// The bus, for a command that makes a call or two.
    pub(crate) fn bus(&self) -> Result<blocking::Bus, CommandError> {
        Ok(blocking::Bus::named(self.bus_name())?)
    }

    /// The bus, for a command that stays.
    pub(crate) fn async_bus(&self) -> Result<host::Bus, CommandError> {
        Ok(host::Bus::named(self.bus_name())?)
    }

    /// The bus directory, for a command that reads its files.
    pub(crate) fn directory(&self) -> Result<BusDir, CommandError> {
        let found = BusDir::locate(self.bus_name()).and_then(|dir| dir.check().map(|()| dir));
        found.map_err(|error| CommandError::Call(error.into()))
    }

    /// The directory of logs, for a command that reads them.
    pub(crate) fn logs(&self) -> Result<PathBuf, CommandError> {
        let path = self.directory()?.log_dir();
        match std::fs::read_dir(&path) {
            // A guest of another user's bus, for instance; what is missing has no lines.
            Err(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(CommandError::Call(BusError::Io { what: "read the logs in", path, source }.into()))
            }
            _ => Ok(path),
        }
    }

    /// The directory of that bus, whether it is there or not.
    pub(crate) fn bus_directory(&self, bus: &str) -> Result<BusDir, CommandError> {
        BusDir::locate(bus).map_err(|error| CommandError::Call(error.into()))
    }

    /// The configuration in these files, or where one is looked for; its bus gives way to the one that was named.
    pub(crate) fn configuration(&self, paths: &[PathBuf]) -> Result<Loaded, CommandError> {
        let found = match paths {
            [] => config::default_path().map(|path| vec![path]),
            named => Ok(named.to_vec()),
        };
        let mut loaded = found.and_then(|paths| config::load(&paths)).map_err(CommandError::Config)?;
        if let Some(bus) = &self.bus {
            loaded.spec.bus.clone_from(bus);
        }
        Ok(loaded)
    }

    /// What tracing shows, as `tracing_subscriber::EnvFilter` reads it.
    pub(crate) fn log_filter(&self) -> String {
        let named = match self.verbosity {
            0 => set("PLUGBUS_LOG").or_else(|| set("RUST_LOG")),
            _ => None,
        };
        let level = match self.verbosity {
            ..=-2 => "error",
            -1 => "warn",
            0 => "info",
            1 => "debug",
            _ => "trace",
        };
        named.unwrap_or_else(|| level.to_owned())
    }

    fn bus_name(&self) -> &str {
        self.bus.as_deref().unwrap_or(DEFAULT_BUS)
    }
}

fn set(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}
