//! Plugin processes, started as a supervisor would start them, without one.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use plugbus::bus::{BusDir, Endpoint, Lane};
use tempfile::TempDir;

use super::{RawCaller, eventually};

/// A plugin with a bus directory of its own; killed when dropped.
pub(crate) struct PluginProcess {
    child: Child,
    bus: BusDir,
    root: TempDir,
    endpoint: Endpoint,
}

/// The plugin `text` that ships.
pub(crate) fn text() -> PluginProcess {
    PluginProcess::start(Command::new(env!("CARGO_BIN_EXE_plugbus-text")))
}

/// The same, serving its calls on that lane.
pub(crate) fn text_on(lane: Lane) -> PluginProcess {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus-text"));
    command.env("PLUGBUS_LANE", lane.name());
    PluginProcess::start(command)
}

impl PluginProcess {
    /// What every plugin of a test is called.
    pub(crate) const NAME: &str = "text";
    /// The one instance of it.
    pub(crate) const INSTANCE: &str = "k3x9q2m7ab";

    /// Starts a plugin with the environment of `docs/protocol.md` and waits until it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let root = tempfile::tempdir().unwrap();
        let bus = BusDir::at(root.path().join("bus"));
        bus.create().unwrap();
        let endpoint = bus.endpoint(Self::NAME, Self::INSTANCE).unwrap();
        command
            .env("PLUGBUS_PROTOCOL", "1")
            .env("PLUGBUS_BUS_DIR", bus.path())
            .env("PLUGBUS_NAME", Self::NAME)
            .env("PLUGBUS_INSTANCE", Self::INSTANCE)
            .env("PLUGBUS_CALL_URL", endpoint.as_str())
            .env("PLUGBUS_SURVEY_URL", bus.survey_endpoint().unwrap().as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut plugin = Self { child, bus, root, endpoint };
        eventually("the plugin serves calls", || {
            let exited = plugin.child.try_wait().unwrap();
            assert!(exited.is_none(), "{command:?} ended with {exited:?}");
            RawCaller::connect(&plugin.socket()).ok()?.ping().ok()
        });
        plugin
    }

    pub(crate) fn bus(&self) -> &BusDir {
        &self.bus
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The path of the socket it listens on.
    pub(crate) fn socket(&self) -> PathBuf {
        self.endpoint.path().to_owned()
    }

    /// A directory that lives as long as the plugin.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it has ever held at once, in MiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line with the peak");
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Waits until it has ended by itself.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the plugin exits", || child.try_wait().unwrap())
    }
}

impl Drop for PluginProcess {
    fn drop(&mut self) {
        // Gone already, perhaps; what counts is that nothing is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
