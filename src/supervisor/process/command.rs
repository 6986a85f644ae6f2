//! What a plugin's process is given.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::bus::{BusDir, BusError, LANE, Lane};
use crate::supervisor::PluginSpec;
use crate::wire::PROTOCOL;

/// Everything that is needed to start one process.
#[derive(Debug, Clone)]
pub(in crate::supervisor) struct Launch {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) cwd: PathBuf,
    pub(super) env: BTreeMap<String, String>,
}

impl Launch {
    /// A plugin's process for one instance: its spec, and the environment that the protocol promises.
    ///
    /// # Errors
    /// [`BusError::PathTooLong`] where the instance's socket path does not fit.
    pub(in crate::supervisor) fn new(
        spec: &PluginSpec,
        instance: &str,
        dir: &BusDir,
        lane: Lane,
    ) -> Result<Self, BusError> {
        let mut command = spec.command.iter().cloned();
        let mut env = spec.env.clone();
        env.entry(LANE.into()).or_insert_with(|| lane.name().into());
        // The contract comes last: a config cannot make a plugin listen where nobody looks for it.
        env.extend([
            ("PLUGBUS_PROTOCOL".into(), PROTOCOL.to_string()),
            ("PLUGBUS_BUS_DIR".into(), dir.path().to_string_lossy().into_owned()),
            ("PLUGBUS_NAME".into(), spec.name.clone()),
            ("PLUGBUS_INSTANCE".into(), instance.to_owned()),
            ("PLUGBUS_CALL_URL".into(), dir.endpoint(&spec.name, instance)?.to_string()),
            ("PLUGBUS_SURVEY_URL".into(), dir.survey_endpoint()?.to_string()),
        ]);
        Ok(Self {
            program: command.next().unwrap_or_default(),
            arguments: command.collect(),
            cwd: spec.cwd.clone(),
            env,
        })
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Signals of the supervisor's terminal are not for plugins, and a group can be killed as one.
        command.process_group(0);
        if !self.cwd.as_os_str().is_empty() {
            command.current_dir(&self.cwd);
        }
        // A supervisor may itself be somebody's plugin; its identity is not its children's.
        // Nor is what a service manager wants to hear from it alone.
        const OWN: [&str; 4] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"];
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PLUGBUS_") || OWN.iter().any(|own| name == *own) {
                command.env_remove(name);
            }
        }
        command.envs(&self.env);
        command
    }
}
