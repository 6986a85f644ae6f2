//! Real files in, exact words out.

mod files;
mod problems;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::bus::Lane;
use crate::supervisor::{
    AtIntensity, BackoffSpec, CgroupUse, ConfinementSpec, EventKind, EventSpec, HookSpec, IntensitySpec, LogSpec,
    PluginSpec, RestartPolicy, SoftSignal, SurveySpec,
};
use crate::trust::{Trust, TrustSpec};

/// A directory with configuration files, and a `bin` where one program, `hello`, is found.
struct Files {
    root: TempDir,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let files_dir = Files { root: tempfile::tempdir().unwrap() };
        files_dir.program("bin/hello", 0o755);
        files.iter().for_each(|(name, text)| files_dir.write(name, text.as_bytes()));
        files_dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    fn program(&self, name: &str, mode: u32) {
        self.write(name, b"#!/bin/sh\n");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self, names: &[&str]) -> Result<Loaded, ConfigError> {
        let paths: Vec<_> = names.iter().map(|name| self.path(name)).collect();
        load_with(&paths, &Programs::new([self.path("bin")]))
    }

    /// What is wrong, with paths relative to the directory.
    fn problems(&self, names: &[&str]) -> Vec<String> {
        let text = match self.load(names) {
            Ok(loaded) => panic!("accepted: {loaded:?}"),
            Err(error) => error.to_string(),
        };
        self.relative(&text).lines().map(str::to_owned).collect()
    }

    fn warnings(&self, names: &[&str]) -> Vec<String> {
        let loaded = self.load(names).unwrap_or_else(|error| panic!("{error}"));
        loaded.warnings.iter().map(|warning| self.relative(&warning.to_string())).collect()
    }

    fn relative(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.root.path().display()), "")
    }
}

fn loaded(text: &str) -> Loaded {
    Files::new(&[("a.toml", text)]).load(&["a.toml"]).unwrap_or_else(|error| panic!("{error}"))
}

const SECOND: Duration = Duration::from_secs(1);

/// What is not restricted, but for rights that come from executing a file.
fn unconfined() -> ConfinementSpec {
    ConfinementSpec { no_new_privs: true, ..ConfinementSpec::default() }
}

#[test]
fn a_plugin_with_all_defaults() {
    let files = Files::new(&[("a.toml", "[plugins.hello]\ncommand = ['hello', '-v']")]);
    let loaded = files.load(&["a.toml"]).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.files, [files.path("a.toml")]);
    let defaults = PluginSpec {
        name: String::new(),
        command: Vec::new(),
        trust: Trust::Locked,
        files: vec![],
        cwd: PathBuf::new(),
        env: BTreeMap::new(),
        confinement: unconfined(),
        allow: BTreeSet::new(),
        replicas: 1,
        restart: RestartPolicy::Always,
        backoff: BackoffSpec { min: SECOND / 10, max: 60 * SECOND, jitter: 0.2, reset: 60 * SECOND },
        start_timeout: 10 * SECOND,
        stop_grace: 5 * SECOND,
        orphan_timeout: None,
        enabled: true,
        success_codes: BTreeSet::from([0]),
        intensity: IntensitySpec { restarts: 10, within: 60 * SECOND, then: AtIntensity::GoOn },
        wedge_grace: 10 * SECOND,
        soft_signal: None,
        soft_wait: 2 * SECOND,
        after: vec![],
        requires: vec![],
    };
    let expected = SupervisorSpec {
        bus: "default".into(),
        directory: None,
        lane: Lane::Direct,
        survey: SurveySpec { interval: SECOND, deadline: SECOND / 2, misses: 3 },
        log: LogSpec { max_size: 10 << 20, keep: 3, max_age: Duration::from_secs(7 * 86_400) },
        events: EventSpec { on_event: None, kinds: EventKind::ALL.into(), timeout: 10 * SECOND },
        trust: TrustSpec { lock: Some(files.path("plugbus.lock")), ..TrustSpec::default() },
        sink: None,
        cgroup: CgroupUse::Auto,
        adopts_orphans: false,
        plugins: vec![PluginSpec {
            name: "hello".into(),
            command: vec![files.path("bin/hello").to_str().unwrap().into(), "-v".into()],
            cwd: files.root.path().to_owned(),
            ..defaults.clone()
        }],
        defaults,
    };
    assert_eq!(loaded.spec, expected);
}

#[test]
fn every_key_is_taken() {
    let loaded = loaded(
        "bus = { name = 'b-2', lane = 'nng' }\nsurvey = { interval = '2s', deadline = '2s', misses = 1 }\n\
         log = { max_size = '4 KiB', keep = 0, max_age = '1h' }\n\
         [events]\non_event = ['bin/hello', 'x']\nkinds = ['flapping']\ntimeout = '1s'\n\
         [defaults]\nreplicas = 3\nenabled = false\nenv = { A = 'all', B = 'all' }\nbackoff.jitter = 1\n\
         [plugins.z]\ncommand = ['hello']\ncwd = 'bin'\nreplicas = 2\nrestart = 'never'\nstart_timeout = '1m 30s'\n\
         stop_grace = '0s'\nenabled = true\nsuccess_codes = [3, 0x04]\nwedge_grace = '1ms'\nsoft_signal = 'SIGQUIT'\n\
         soft_wait = '0s'\nintensity = { restarts = 1, within = '1year', then = 'fail' }\nrequires = ['a', 'a']\nbackoff = { min = '1ms', max = '1ms', reset = '0s' }\nenv.B = 'own'\n\
         [plugins.a]\ncommand = ['hello']\nrestart = 'on-failure'\n",
    );
    let spec = loaded.spec;
    assert_eq!(
        (spec.bus.as_str(), spec.lane, spec.log),
        ("b-2", Lane::Nng, LogSpec { max_size: 4096, keep: 0, max_age: Duration::from_secs(3600) })
    );
    let EventSpec { on_event: Some(HookSpec::Command(command)), kinds, timeout } = spec.events else {
        panic!("{:?}", spec.events)
    };
    assert!(command[0].ends_with("/bin/hello") && command[0].starts_with('/') && command[1] == "x", "{command:?}");
    assert_eq!((kinds, timeout), (vec![EventKind::Flapping], SECOND));
    assert_eq!(spec.survey, SurveySpec { interval: 2 * SECOND, deadline: 2 * SECOND, misses: 1 });
    let [z, a] = &spec.plugins[..] else { panic!("{:?}", spec.plugins) };
    assert_eq!((z.name.as_str(), a.name.as_str()), ("z", "a"), "plugins start in the order of the file");
    assert_eq!((z.replicas, z.restart, z.enabled), (2, RestartPolicy::Never, true));
    assert_eq!((z.start_timeout, z.stop_grace), (90 * SECOND, Duration::ZERO));
    let tick = SECOND / 1000;
    assert_eq!(z.backoff, BackoffSpec { min: tick, max: tick, jitter: 1.0, reset: Duration::ZERO });
    assert!(z.cwd.ends_with("bin"), "{:?}", z.cwd);
    assert_eq!(z.env, BTreeMap::from([("A".into(), "all".into()), ("B".into(), "own".into())]));
    assert_eq!((a.replicas, a.restart, a.enabled), (3, RestartPolicy::OnFailure, false));
    assert_eq!(a.env["B"], "all");
    assert_eq!((z.success_codes.clone(), z.soft_signal), (BTreeSet::from([3, 4]), Some(SoftSignal::Quit)));
    assert_eq!((z.wedge_grace, z.soft_wait), (tick, Duration::ZERO));
    let within = Duration::from_secs(31_557_600);
    assert_eq!(z.intensity, IntensitySpec { restarts: 1, within, then: AtIntensity::Fail });
    assert_eq!((&z.requires[..], &a.after[..]), (&["a".to_owned(), "a".to_owned()][..], &[][..]));
}

#[test]
fn without_a_file_there_are_the_defaults() {
    let loaded = load(&[] as &[&Path]).unwrap();
    assert_eq!((loaded.spec.plugins, loaded.files), (vec![], vec![]));
}

#[test]
fn every_file_in_configs_loads() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        load(&[&file]).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The example in the default file, its commented lines made real, is right and has every key.
#[test]
fn the_commented_example_is_whole() {
    let (_, example) = DEFAULTS.split_once("\n#[plugins.hello]").unwrap();
    let example = format!("#[plugins.hello]{example}").replace("\n#", "\n").split_off(1);
    let files = Files::new(&[("a.toml", &example)]);
    files.program("hello", 0o755);
    let loaded = files.load(&["a.toml"]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((loaded.warnings, loaded.spec.plugins.len()), (vec![], 1));
    let table: toml::Table = example.parse().unwrap();
    let defaults: toml::Table = DEFAULTS.parse().unwrap();
    let plugin = table["plugins"]["hello"].as_table().unwrap();
    for key in defaults["defaults"].as_table().unwrap().keys() {
        assert!(plugin.contains_key(key), "{key}");
    }
}

/// Each key of the default file is needed: nothing else holds its default.
#[test]
fn there_is_no_second_place_of_defaults() {
    let needed = ["name", "interval", "deadline", "misses", "max_size", "keep", "cwd", "replicas", "restart", "min"];
    let more =
        ["max", "jitter", "reset", "start_timeout", "stop_grace", "enabled", "success_codes", "restarts", "within"];
    let most = ["then", "wedge_grace", "soft_signal", "soft_wait"];
    for key in needed.into_iter().chain(more).chain(most) {
        let text: Vec<_> = DEFAULTS.lines().filter(|line| !line.starts_with(&format!("{key} = "))).collect();
        assert_eq!(text.len() + 1, DEFAULTS.lines().count(), "{key} has one default");
        let source = |path: &str, text: String| Source { path: path.into(), text };
        let plugin = source("a.toml", "plugins.x.command = ['hello']".to_owned());
        let error = compile(&[source("built in", text.join("\n")), plugin], vec![], &Programs::new([])).unwrap_err();
        let expected = "built in:1:1: a key has no default: plugbus itself is at fault";
        assert_eq!(error.to_string(), expected, "{key}");
    }
}

#[test]
fn how_long_an_orphan_waits() {
    for (keys, expected) in [
        ("", None),
        ("orphan_timeout = '2s'", Some(2 * SECOND)),
        ("orphan_timeout = 'off'", None),
        ("on_supervisor_exit = 'stop'", Some(10 * SECOND)),
        ("on_supervisor_exit = 'stop'\norphan_timeout = '1m'", Some(60 * SECOND)),
    ] {
        let files = Files::new(&[("a.toml", &format!("[plugins.x]\ncommand = ['/bin/true']\n{keys}"))]);
        let loaded = load(&[files.path("a.toml")]).unwrap();
        assert_eq!(loaded.spec.plugins[0].orphan_timeout, expected, "{keys}");
    }
}

#[test]
fn how_a_plugin_is_confined() {
    let text = "[defaults]\nenv_file = 'all.env'\numask = '077'\n[plugins.x]\ncommand = ['/bin/true']\n\
        pass_env = ['A', 'B_*']\nsandbox = 'strict'\nsandbox_required = true\nread = ['.', 'none']\nwrite = '/tmp'\n\
        tcp_listen = [80]\ntcp_connect = [443, 5432]\nno_new_privs = false\ncapabilities = 'none'\nnice = -3\noom_score_adj = 0x10\n\
        limits = { files = 64, memory = '1GiB', core = '0B', cpu = '90s' }\n[plugins.y]\ncommand = ['/bin/true']\n\
        env_file = ['a', '/b']\numask = 'inherit'\n";
    let files = Files::new(&[("a.toml", text), ("all.env", "A=b")]);
    let loaded = files.load(&["a.toml"]).unwrap_or_else(|error| panic!("{error}"));
    let [x, y] = &loaded.spec.plugins[..] else { panic!("{loaded:?}") };
    let words = [
        "pass_env = [\"A\", \"B_*\"]".to_owned(),
        format!("env_file = [{:?}]", files.path("all.env")),
        "umask = 0077".into(),
        "no_new_privs = false".into(),
        "capabilities = none".into(),
        "limits.files = 64".into(),
        "limits.memory = 1073741824".into(),
        "limits.core = 0".into(),
        "limits.cpu = 90".into(),
        "sandbox = strict".into(),
        "sandbox_required = true".into(),
        format!("read = [{:?}, {:?}]", files.root.path(), files.path("none")),
        "write = [\"/tmp\"]".into(),
        "tcp_listen = [\"80\"]".into(),
        "tcp_connect = [\"443\", \"5432\"]".into(),
        "nice = -3".into(),
        "oom_score_adj = 16".into(),
    ];
    assert_eq!(x.confinement.words(), words);
    assert_eq!((&y.confinement.env_file, y.confinement.umask), (&vec![files.path("a"), "/b".into()], None));
    assert_eq!(loaded.spec.defaults.confinement.umask, Some(0o77));
    let warnings: Vec<_> = loaded.warnings.iter().map(|warning| files.relative(&warning.to_string())).collect();
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(warnings[0].ends_with("defaults.env_file: others may read \"all.env\": chmod 600"), "{warnings:?}");
}
