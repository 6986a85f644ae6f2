//! A whole bus of a test: a configuration, a supervisor that runs it, and callers.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plugbus::bus::{BusDir, Card, ProcessId};
use plugbus::config;
use plugbus::host::blocking::Bus;
use plugbus::supervisor::{PluginStatus, StatusReport, Supervisor, SupervisorSpec, SurveyReport, UnitState};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{eventually, eventually_or, processes_of, signal, with_argument};

/// Longer than anything takes that goes well.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// What supervisors in processes of their own said.
const SAID: &str = "supervise.log";

/// A supervisor on a bus of its own; when dropped, nothing of it is left.
pub(crate) struct Stage {
    keeper: Option<Keeper>,
    bus: BusDir,
    root: TempDir,
}

enum Keeper {
    /// In this process, as a program has it that brings its plugins along.
    Library(Supervisor, Runtime),
    /// `plugbus supervise`, which can be killed and frozen.
    Program(Child),
}

impl Stage {
    /// Where a supervisor is going to be.
    pub(crate) fn empty() -> Self {
        let root = tempfile::tempdir().unwrap();
        let bus = BusDir::at(root.path().join("default"));
        bus.create().unwrap();
        Self { keeper: None, bus, root }
    }

    /// A supervisor in this process.
    pub(crate) fn start(config: &str) -> Self {
        let mut stage = Self::empty();
        stage.supervise(config);
        stage
    }

    /// A supervisor in a process of its own.
    pub(crate) fn spawn(config: &str) -> Self {
        let mut stage = Self::empty();
        stage.supervise_apart(config, |command| command);
        stage
    }

    /// Starts the supervisor in this process.
    pub(crate) fn supervise(&mut self, config: &str) {
        self.supervise_spec(self.spec(config));
    }

    /// Starts the supervisor in this process, as this says.
    pub(crate) fn supervise_spec(&mut self, spec: SupervisorSpec) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let supervisor = runtime.block_on(Supervisor::start(spec)).unwrap();
        self.keeper = Some(Keeper::Library(supervisor, runtime));
    }

    /// Starts the supervisor in a process of its own, and waits until it can be called.
    pub(crate) fn supervise_apart(&mut self, config: &str, change: impl FnOnce(&mut Command) -> &mut Command) {
        self.launch(config, change);
        self.until_callable();
    }

    /// The same, executed by another program that is given the command.
    pub(crate) fn supervise_apart_by(&mut self, config: &str, by: &[&str]) {
        self.launch_by(config, by, |command| command);
        self.until_callable();
    }

    /// Starts the supervisor in a process of its own, and waits for nothing.
    pub(crate) fn launch(&mut self, config: &str, change: impl FnOnce(&mut Command) -> &mut Command) {
        self.launch_by(config, &[], change);
    }

    fn launch_by(&mut self, config: &str, by: &[&str], change: impl FnOnce(&mut Command) -> &mut Command) {
        let file = self.write_config(config);
        let mut command = match by {
            [] => Command::new(env!("CARGO_BIN_EXE_plugbus")),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(env!("CARGO_BIN_EXE_plugbus"));
                command
            }
        };
        command.arg("supervise").arg("-c").arg(file);
        command.env("PLUGBUS_DIR", self.root.path()).stdin(Stdio::null()).stdout(Stdio::null());
        // What it said is shown with a test that fails.
        let said = fs::OpenOptions::new().create(true).append(true).open(self.root.path().join(SAID)).unwrap();
        command.stderr(said);
        self.keeper = Some(Keeper::Program(change(&mut command).spawn().unwrap()));
    }

    /// Waits until the supervisor in its own process can be called.
    pub(crate) fn until_callable(&mut self) {
        let Some(Keeper::Program(child)) = &mut self.keeper else { panic!("no process to wait for") };
        let pid = child.id();
        eventually("the supervisor can be called", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the supervisor ended with {ended:?}");
            self.bus.cards().unwrap().into_iter().find(|card| card.name == "supervisor" && card.process.pid == pid)
        });
    }

    /// What the configuration says, for this bus.
    pub(crate) fn spec(&self, config: &str) -> SupervisorSpec {
        let mut spec = config::load(&[self.write_config(config)]).unwrap_or_else(|error| panic!("{error}")).spec;
        spec.directory = Some(self.bus.path().into());
        spec
    }

    fn write_config(&self, config: &str) -> PathBuf {
        let file = self.root.path().join("plugbus.toml");
        fs::write(&file, config).unwrap();
        file
    }

    /// A directory that lives as long as the stage.
    pub(crate) fn scratch(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn bus(&self) -> &BusDir {
        &self.bus
    }

    /// A caller that knows nothing yet.
    pub(crate) fn caller(&self) -> Bus {
        Bus::at(self.bus.path()).unwrap()
    }

    /// The process of a supervisor that was [spawned](Self::spawn).
    pub(crate) fn supervisor_pid(&self) -> u32 {
        match self.keeper.as_ref() {
            Some(Keeper::Program(child)) => child.id(),
            _ => panic!("the supervisor has no process of its own"),
        }
    }

    /// SIGKILL for the supervisor alone; its plugins stay.
    pub(crate) fn kill_supervisor(&mut self) {
        let Some(Keeper::Program(mut child)) = self.keeper.take() else { panic!("no process to kill") };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn status(&self) -> StatusReport {
        self.caller().request("supervisor.status").timeout(LONG).call(&()).unwrap()
    }

    pub(crate) fn survey(&self) -> SurveyReport {
        self.caller().request("supervisor.survey").timeout(LONG).call(&()).unwrap()
    }

    /// How a plugin stands now; of several replicas, the first.
    #[track_caller]
    pub(crate) fn plugin(&self, name: &str) -> PluginStatus {
        self.status().plugins.into_iter().find(|plugin| plugin.name == name).expect("the plugin is supervised")
    }

    /// Waits until a plugin is as wished; answers how it then is.
    #[track_caller]
    pub(crate) fn until(&self, name: &str, mut wished: impl FnMut(&PluginStatus) -> bool) -> PluginStatus {
        let found = eventually_or(|| {
            let found = self.plugin(name);
            if wished(&found) { Ok(found) } else { Err(Box::new(found)) }
        });
        found.unwrap_or_else(|last| panic!("it never came to that: {last:#?}"))
    }

    /// Waits until a plugin is ready.
    #[track_caller]
    pub(crate) fn ready(&self, name: &str) -> PluginStatus {
        self.until(name, |plugin| plugin.state == UnitState::Ready)
    }

    /// Waits until a plugin is ready with another process than that.
    #[track_caller]
    pub(crate) fn ready_again(&self, before: &PluginStatus) -> PluginStatus {
        self.until(&before.name, |plugin| plugin.state == UnitState::Ready && plugin.pid != before.pid)
    }

    /// The cards of plugins.
    pub(crate) fn cards(&self) -> Vec<Card> {
        self.bus.cards().unwrap().into_iter().filter(|card| card.name != "supervisor").collect()
    }

    /// What supervisors in processes of their own said until now.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.root.path().join(SAID)).unwrap()
    }

    /// The event log as it is now.
    pub(crate) fn events(&self) -> Vec<Value> {
        let log = self.log("supervisor.events.jsonl");
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The reasons in the event log for which a plugin changed its state to this one.
    pub(crate) fn reasons(&self, name: &str, to: &str) -> Vec<String> {
        let events = self.events().into_iter().filter(|event| event["plugin"] == name && event["to"] == to);
        events.map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
    }

    /// A log file as it is now.
    pub(crate) fn log(&self, file: &str) -> String {
        let text = fs::read(self.bus.log_dir().join(file)).unwrap_or_default();
        String::from_utf8(text).expect("logs are UTF-8")
    }

    /// Stops the supervisor as it is meant to be stopped; the stage stays to be looked at.
    pub(crate) fn stop(&mut self) {
        match self.keeper.take() {
            Some(Keeper::Library(supervisor, runtime)) => runtime.block_on(supervisor.stop()),
            Some(Keeper::Program(mut child)) => {
                signal(child.id(), Signal::TERM);
                let ended = eventually("the supervisor ends", || child.try_wait().unwrap());
                assert!(ended.success(), "{ended:?}");
            }
            None => panic!("nothing to stop"),
        }
    }

    /// Stops the supervisor, and nothing may be left but logs and the lock.
    pub(crate) fn stop_without_trace(&mut self) {
        self.stop();
        let left: Vec<ProcessId> = processes_of(&self.bus);
        assert!(left.is_empty(), "still running: {left:?}");
        let names = |path: &Path| -> Vec<String> {
            let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(self.bus.path()), ["lock", "log", "state"]);
        assert_eq!(names(&self.bus.state_dir()), [""; 0]);
    }
}

impl Stage {
    /// Records of instances, as the supervisor has written them down.
    pub(crate) fn records(&self) -> Vec<PathBuf> {
        let paths = fs::read_dir(self.bus.state_dir()).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_record = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.strip_suffix(".json").is_some_and(|name| name.contains('.'))
        };
        paths.filter(is_record).collect()
    }

    /// The cgroups of instances, by their records.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let read = |path: PathBuf| -> Option<Value> { serde_json::from_slice(&fs::read(path).ok()?).ok() };
        let records = self.records().into_iter().filter_map(read);
        records.filter_map(|record| Some(record["cgroup"].as_str()?.into())).collect()
    }

    /// Ends and removes cgroups whose supervisor is not there any more to do it.
    fn remove_cgroups(&self) {
        for path in self.cgroups() {
            for _ in 0..200 {
                let _ = fs::write(path.join("cgroup.kill"), "1");
                if !fs::remove_dir(&path).is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy) {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = fs::read(self.root.path().join(SAID)).unwrap_or_default();
            let _ = io::stderr().write_all(&said);
        }
        match self.keeper.take() {
            // Without its runtime the supervisor kills every plugin.
            Some(Keeper::Library(_supervisor, runtime)) => runtime.shutdown_timeout(Duration::from_secs(5)),
            Some(Keeper::Program(mut child)) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            None => {}
        }
        // The sink outlives its supervisor, and makes its directory anew where that has been removed.
        let sinks = with_argument(&self.bus.path().to_string_lossy()).into_iter().filter_map(ProcessId::of);
        let left: Vec<ProcessId> = processes_of(&self.bus).into_iter().chain(sinks).collect();
        for process in &left {
            let pid = process.pid.try_into().ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid.filter(|_| process.is_alive()) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        let _ = eventually_or(|| if left.iter().any(|process| process.is_alive()) { Err(()) } else { Ok(()) });
        self.remove_cgroups();
    }
}
