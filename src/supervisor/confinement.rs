//! What a plugin's process is given of the supervisor's, and what it may do.
//!
//! Plain data; `process::start` has a child carry it out before it becomes its program.

use std::ffi::OsString;
use std::path::PathBuf;

/// How a plugin is confined; the default passes nothing on and forbids nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfinementSpec {
    /// As whom it runs; `None` as the supervisor.
    pub account: Option<Account>,
    /// Names and patterns of variables that are passed on beside [those that always are](PASSED_ON).
    pub pass_env: Vec<String>,
    /// Files of `NAME=value` lines, read at each start; their values are nowhere shown.
    pub env_file: Vec<PathBuf>,
    /// The mode bits that new files do not get; `None` leaves the supervisor's.
    pub umask: Option<u32>,
    /// Neither it nor what it starts gets rights by executing a file (setuid, file capabilities).
    pub no_new_privs: bool,
    /// It has no capability and never gets one, whatever the supervisor has.
    pub drop_capabilities: bool,
    /// What each of its processes may use up.
    pub limits: LimitSpec,
    /// What all of them together may.
    pub total: TotalSpec,
    /// How it gives way to others, -20 (not at all) to 19; `None` leaves the supervisor's.
    pub nice: Option<i32>,
    /// How far the kernel locks it in.
    pub sandbox: Sandbox,
    /// Whether it is not started where the kernel lacks a part of that.
    pub sandbox_required: bool,
    /// With [`Sandbox::Strict`]: what it may read and execute beside the system's own.
    pub read: Vec<PathBuf>,
    /// With [`Sandbox::Strict`]: what it may read and change.
    pub write: Vec<PathBuf>,
    /// With [`Sandbox::Strict`]: the TCP ports it may listen on.
    pub tcp_listen: Vec<u16>,
    /// With [`Sandbox::Strict`]: the TCP ports it may connect to.
    pub tcp_connect: Vec<u16>,
    /// How soon it is killed where memory runs out, -1000 (never) to 1000; `None` leaves the supervisor's.
    pub oom_score_adj: Option<i32>,
}

/// A user as whom a plugin runs: what is known of it where the configuration is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// The user's number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Those of the other groups that it is in.
    pub groups: Vec<u32>,
    /// Its name, where it has one.
    pub name: String,
    /// Its home directory.
    pub home: PathBuf,
    /// Its shell.
    pub shell: PathBuf,
}

impl Account {
    /// Whether it is somebody else than the user of this process.
    pub(super) fn is_another(&self) -> bool {
        self.uid != rustix::process::geteuid().as_raw()
    }

    /// What its processes are told of it.
    pub(super) fn variables(&self) -> [(&'static str, OsString); 4] {
        [
            ("HOME", self.home.clone().into()),
            ("USER", self.name.clone().into()),
            ("LOGNAME", self.name.clone().into()),
            ("SHELL", self.shell.clone().into()),
        ]
    }
}

/// How far the kernel locks a plugin in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// Not at all.
    #[default]
    Off,
    /// It cannot do what no plugin needs: change the machine, look into other processes, send them signals.
    Standard,
    /// Beyond that, of files and the network it has only what is named.
    Strict,
}

impl Sandbox {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Standard, Self::Strict];

    /// The word for it in a configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }
}

/// What one process may use up; `None` leaves the supervisor's own limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitSpec {
    /// Descriptors that are open at once.
    pub files: Option<u64>,
    /// Processes and threads of its user, all together.
    pub processes: Option<u64>,
    /// Address space, in bytes.
    pub memory: Option<u64>,
    /// The size of a core dump, in bytes.
    pub core: Option<u64>,
    /// Processor time, in seconds; then it is killed.
    pub cpu: Option<u64>,
}

/// What all processes of an instance together may use up; `None` for whatever there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TotalSpec {
    /// Memory, in bytes; past it the whole instance is killed.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
    /// Processor time, in percent of one core.
    pub cpu: Option<u32>,
}

/// The variables of the supervisor's that every plugin is given: where things are, and what people read.
pub const PASSED_ON: [&str; 13] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "VIRTUAL_ENV",
    "RUST_BACKTRACE",
];

impl ConfinementSpec {
    /// What is set, as `key = value`, in an order that never changes; values of variables are not among it.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let LimitSpec { files, processes, memory, core, cpu } = self.limits;
        let number = |key: &str, value: Option<i64>| value.map(|value| format!("{key} = {value}"));
        let limit = |key: &str, value: Option<u64>| value.map(|value| format!("limits.{key} = {value}"));
        let list = |key: &str, values: Vec<String>| (!values.is_empty()).then(|| format!("{key} = {values:?}"));
        let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let words = [
            self.account.as_ref().map(|Account { uid, gid, groups, .. }| format!("user = {uid}:{gid} {groups:?}")),
            list("pass_env", self.pass_env.clone()),
            list("env_file", paths(&self.env_file)),
            self.umask.map(|umask| format!("umask = {umask:04o}")),
            (!self.no_new_privs).then(|| "no_new_privs = false".to_owned()),
            self.drop_capabilities.then(|| "capabilities = none".to_owned()),
            limit("files", files),
            limit("processes", processes),
            limit("memory", memory),
            limit("core", core),
            limit("cpu", cpu),
            limit("total_memory", self.total.memory),
            limit("total_processes", self.total.processes),
            limit("total_cpu", self.total.cpu.map(u64::from)),
            (self.sandbox != Sandbox::Off).then(|| format!("sandbox = {}", self.sandbox.as_str())),
            self.sandbox_required.then(|| "sandbox_required = true".to_owned()),
            list("read", paths(&self.read)),
            list("write", paths(&self.write)),
            list("tcp_listen", self.tcp_listen.iter().map(u16::to_string).collect()),
            list("tcp_connect", self.tcp_connect.iter().map(u16::to_string).collect()),
            number("nice", self.nice.map(i64::from)),
            number("oom_score_adj", self.oom_score_adj.map(i64::from)),
        ];
        words.into_iter().flatten().collect()
    }
}
