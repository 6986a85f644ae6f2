//! What the files say: every key there is, each value with its place.
//!
//! A key that is not listed here does not exist. Ranges of single values are checked as they are read (so in
//! every file, also where a later one wins); what concerns two keys is `validate`'s. `read` walks the TOML,
//! `value` turns one value into one type.

mod confined;
mod read;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::confined::MOST;
use self::read::{Entry, Reader};
use super::source::Place;
use crate::bus::Lane;
use crate::supervisor::{AtIntensity, CgroupUse, EventKind, HookSpec, RestartPolicy, Sandbox, SoftSignal};
use crate::trust::Trust;

pub(super) use self::read::read;
pub(super) use self::value::{OnSupervisorExit, OrphanTimeout};

/// The timers' resolution; a shorter interval would only burn the processor.
const TICK: Duration = Duration::from_millis(1);

/// Long enough for anybody, and far from where adding to an instant overflows.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// A key that is set somewhere.
#[derive(Debug, Clone)]
pub(super) struct Field<T> {
    /// Where its value is.
    pub(super) at: Place,
    /// The key's whole path, as in `plugins.text.restart`.
    pub(super) key: String,
    /// `None` when the value is wrong, which has been reported: no default stands in for it.
    pub(super) value: Option<T>,
}

/// Something that lies over an older one of its kind.
pub(super) trait Layer {
    /// Takes from `below` what is not set here.
    fn fill(&mut self, below: &Self);
}

/// A TOML table with a known set of keys.
trait Table: Layer + Default {
    /// All keys, for suggestions.
    fn keys() -> Vec<&'static str>;
    /// Reads one entry; false when there is no such key.
    fn set(&mut self, reader: &mut Reader<'_, '_>, entry: &Entry<'_>) -> bool;
}

/// Declares a table: `key: type = how to read it`, with one of [`Reader`]'s methods.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $type:ty = $read:ident($($limit:expr),*),)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        pub(super) struct $name { $(pub(super) $key: $type,)* }

        impl Layer for $name {
            fn fill(&mut self, below: &Self) {
                $(self.$key.fill(&below.$key);)*
            }
        }

        impl Table for $name {
            fn keys() -> Vec<&'static str> {
                vec![$(stringify!($key)),*]
            }

            fn set(&mut self, reader: &mut Reader<'_, '_>, entry: &Entry<'_>) -> bool {
                match entry.name {
                    $(stringify!($key) => self.$key = reader.$read(entry, $($limit),*),)*
                    _ => return false,
                }
                true
            }
        }
    };
}

type Key<T> = Option<Field<T>>;

table! {
    /// A whole file.
    RawFile {
        bus: RawBus = table(),
        survey: RawSurvey = table(),
        log: RawLog = table(),
        events: RawEvents = table(),
        trust: RawTrust = table(),
        defaults: RawRun = table(),
        plugins: Vec<RawPlugin> = plugins(),
    }
}

table! {
    /// `[bus]`
    RawBus {
        name: Key<String> = text(),
        lane: Key<Lane> = lane(),
        cgroup: Key<CgroupUse> = cgroup(),
    }
}

table! {
    /// `[survey]`
    RawSurvey {
        interval: Key<Duration> = duration(TICK..=YEAR),
        deadline: Key<Duration> = duration(TICK..=YEAR),
        misses: Key<u32> = whole(1..=1000),
    }
}

table! {
    /// `[log]`
    RawLog {
        max_size: Key<u64> = size(4096..=1 << 40),
        keep: Key<u32> = whole(0..=100),
        max_age: Key<Duration> = duration(Duration::from_secs(1)..=YEAR),
    }
}

table! {
    /// `[events]`
    RawEvents {
        on_event: Key<HookSpec> = hook(),
        kinds: Key<Vec<EventKind>> = kinds(),
        timeout: Key<Duration> = duration(TICK..=YEAR),
    }
}

table! {
    /// `[trust]`
    RawTrust {
        keys: Key<Vec<Name>> = texts(),
    }
}

table! {
    /// `[defaults]`, and all of a plugin but its command.
    RawRun {
        cwd: Key<String> = text(),
        user: Key<Option<String>> = principal(),
        group: Key<Option<String>> = principal(),
        allow: RawAllow = table(),
        env: BTreeMap<String, Field<String>> = env(),
        pass_env: Key<Vec<Name>> = variables(),
        env_file: Key<Vec<Name>> = paths(),
        umask: Key<Option<u32>> = umask(),
        replicas: Key<u32> = whole(1..=64),
        restart: Key<RestartPolicy> = restart(),
        backoff: RawBackoff = table(),
        start_timeout: Key<Duration> = duration(TICK..=YEAR),
        stop_grace: Key<Duration> = duration(Duration::ZERO..=YEAR),
        on_supervisor_exit: Key<OnSupervisorExit> = on_supervisor_exit(),
        orphan_timeout: Key<OrphanTimeout> = orphan_timeout(TICK..=YEAR),
        enabled: Key<bool> = boolean(),
        success_codes: Key<BTreeSet<u8>> = exit_codes(),
        intensity: RawIntensity = table(),
        wedge_grace: Key<Duration> = duration(TICK..=YEAR),
        soft_signal: Key<Option<SoftSignal>> = soft_signal(),
        soft_wait: Key<Duration> = duration(Duration::ZERO..=YEAR),
        trust: Key<Trust> = trust(),
        no_new_privs: Key<bool> = boolean(),
        capabilities: Key<bool> = capabilities(),
        limits: RawLimits = table(),
        sandbox: Key<Sandbox> = sandbox(),
        sandbox_required: Key<bool> = boolean(),
        read: Key<Vec<Name>> = paths(),
        write: Key<Vec<Name>> = paths(),
        tcp_listen: Key<Vec<u16>> = ports(),
        tcp_connect: Key<Vec<u16>> = ports(),
        nice: Key<Option<i32>> = inherited(-20..=19),
        oom_score_adj: Key<Option<i32>> = inherited(-1000..=1000),
    }
}

table! {
    /// `allow` of a plugin.
    RawAllow {
        users: Key<Vec<Name>> = principals(),
        groups: Key<Vec<Name>> = principals(),
    }
}

table! {
    /// `limits` of a plugin.
    RawLimits {
        files: Key<Option<u64>> = inherited(8..=MOST),
        processes: Key<Option<u64>> = inherited(1..=MOST),
        memory: Key<Option<u64>> = inherited_size(),
        core: Key<Option<u64>> = inherited_size(),
        cpu: Key<Option<u64>> = inherited_seconds(),
        total_memory: Key<Option<u64>> = inherited_size(),
        total_processes: Key<Option<u64>> = inherited(1..=MOST),
        total_cpu: Key<Option<u32>> = inherited(1..=100_000),
    }
}

table! {
    /// `intensity` of a plugin.
    RawIntensity {
        restarts: Key<u32> = whole(1..=1000),
        within: Key<Duration> = duration(TICK..=YEAR),
        then: Key<AtIntensity> = at_intensity(),
    }
}

table! {
    /// `backoff` of a plugin.
    RawBackoff {
        min: Key<Duration> = duration(TICK..=YEAR),
        max: Key<Duration> = duration(TICK..=YEAR),
        jitter: Key<f64> = share(),
        reset: Key<Duration> = duration(Duration::ZERO..=YEAR),
    }
}

/// `[plugins.NAME]`
#[derive(Debug, Clone)]
pub(super) struct RawPlugin {
    pub(super) name: String,
    /// Where its name is.
    pub(super) at: Place,
    /// The key's whole path, `plugins.NAME`.
    pub(super) key: String,
    /// False when it is not even a table, which has been reported.
    pub(super) is_table: bool,
    pub(super) command: Key<Vec<String>>,
    pub(super) after: Key<Vec<Name>>,
    pub(super) requires: Key<Vec<Name>>,
    pub(super) files: Key<Vec<Name>>,
    pub(super) run: RawRun,
}

/// A text in a list: the name of another plugin, for instance.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) at: Place,
    pub(super) text: String,
}

/// The body of [`RawPlugin`]: what cannot be the same for all is not among [`RawRun`]'s keys.
#[derive(Debug, Default)]
struct RawBody {
    command: Key<Vec<String>>,
    after: Key<Vec<Name>>,
    requires: Key<Vec<Name>>,
    files: Key<Vec<Name>>,
    run: RawRun,
}

impl Layer for RawBody {
    fn fill(&mut self, below: &Self) {
        self.command.fill(&below.command);
        self.after.fill(&below.after);
        self.requires.fill(&below.requires);
        self.files.fill(&below.files);
        self.run.fill(&below.run);
    }
}

impl Table for RawBody {
    fn keys() -> Vec<&'static str> {
        [vec!["command", "after", "requires", "files"], RawRun::keys()].concat()
    }

    fn set(&mut self, reader: &mut Reader<'_, '_>, entry: &Entry<'_>) -> bool {
        match entry.name {
            "command" => self.command = reader.command(entry),
            "after" => self.after = reader.names(entry),
            "requires" => self.requires = reader.names(entry),
            "files" => self.files = reader.texts(entry),
            _ => return self.run.set(reader, entry),
        }
        true
    }
}

impl<T: Clone> Layer for Option<Field<T>> {
    fn fill(&mut self, below: &Self) {
        if self.is_none() {
            self.clone_from(below);
        }
    }
}

impl Layer for BTreeMap<String, Field<String>> {
    fn fill(&mut self, below: &Self) {
        for (name, value) in below {
            self.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// All plugins of all files, older ones first; whether a name is there twice is for `validate` to say.
impl Layer for Vec<RawPlugin> {
    fn fill(&mut self, below: &Self) {
        self.splice(..0, below.iter().cloned());
    }
}
