//! Configurations of plugins: what they run, and how they misbehave.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plugbus::plugin::{Context, Failure, Plugin};

use super::calling::with_calls;

/// Fast enough that silence is noticed soon, slow enough that a busy machine is not taken for it.
pub(crate) const QUICK: &str = "[survey]\ninterval = '250ms'\ndeadline = '250ms'\nmisses = 3\n";

/// Nobody is ever called silent.
pub(crate) const PATIENT: &str = "[survey]\ninterval = '100ms'\ndeadline = '100ms'\nmisses = 1000\n";

/// The section of a plugin; `more` is TOML.
pub(crate) fn plugin(name: &str, command: &[&str], more: &str) -> String {
    format!("[plugins.{name}]\ncommand = {command:?}\n{more}\n")
}

/// The plugin `text` that ships.
pub(crate) fn text_plugin(more: &str) -> String {
    plugin("text", &[env!("CARGO_BIN_EXE_plugbus-text")], more)
}

/// `tests/plugins/misbehave.py` in a mood.
pub(crate) fn misbehaving(name: &str, mood: &str, more: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plugins/misbehave.py");
    plugin(name, &[python3(), "-S", "-E", script], &format!("env = {{ MISBEHAVE = '{mood}' }}\n{more}"))
}

/// The Python that `python3` comes to in the end: behind that name may be a slow script that looks for it.
fn python3() -> &'static str {
    static FOUND: OnceLock<String> = OnceLock::new();
    FOUND.get_or_init(|| {
        let found =
            Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("Python 3");
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    })
}

/// A plugin made with the SDK, for what the one that ships does not do.
pub(crate) fn sdk_plugin(name: &str, more: &str) -> String {
    sdk_plugin_of(name, "64,64", more)
}

/// As [`sdk_plugin`], and so many calls run at once and so many wait, `64,64` for instance.
pub(crate) fn sdk_plugin_of(name: &str, limits: &str, more: &str) -> String {
    let own = std::env::current_exe().unwrap();
    let arguments = ["support::plugins::act_as_plugin", "--exact", "--nocapture"];
    let command = [&[own.to_str().unwrap()], &arguments[..]].concat();
    plugin(name, &command, &format!("env = {{ {ACT_AS_PLUGIN} = '{limits}' }}\n{more}"))
}

/// Tells the plugin from the test of that name being run as a test; its limits.
const ACT_AS_PLUGIN: &str = "TEST_ACT_AS_PLUGIN";

/// Not a test: the plugin, when a supervisor starts it.
#[test]
fn act_as_plugin() {
    let Ok(limits) = std::env::var(ACT_AS_PLUGIN) else { return };
    let (concurrency, queue) = limits.split_once(',').unwrap();
    let turns = AtomicU64::new(0);
    let spans = tracing_subscriber::fmt::format::FmtSpan::NEW;
    let log =
        tracing_subscriber::fmt().with_env_filter("plugbus::call=debug").with_span_events(spans).with_ansi(false);
    log.with_writer(std::io::stderr).init();
    let plugin = Plugin::new("sdk", "1.2.3")
        .concurrency(concurrency.parse().unwrap())
        .queue(queue.parse().unwrap())
        .method("nap", "Takes so many milliseconds, whoever waits.", |millis: u64| {
            let awake = Instant::now() + Duration::from_millis(millis);
            while let Some(left) = awake.checked_duration_since(Instant::now()) {
                // Nobody unparks it.
                thread::park_timeout(left);
            }
            Ok::<_, Failure>(())
        })
        .method("turn", "Waits until there is such a file; how many had their turn before.", move |file: String| {
            while !Path::new(&file).exists() {
                thread::park_timeout(Duration::from_millis(5));
            }
            Ok::<_, Failure>(turns.fetch_add(1, Ordering::SeqCst))
        })
        .method("traceparent", "The trace that the call is part of.", |(): (), context: Context| {
            Ok::<_, Failure>(context.traceparent().map(str::to_owned))
        })
        .method("echo", "Gives back what it is given.", |text: String| Ok::<_, Failure>(text))
        .method("swallow", "Takes anything.", |_: serde_json::Value| Ok::<_, Failure>(()))
        .method("panic", "Panics.", |text: String| -> Result<String, Failure> { panic!("{text}") });
    with_calls(plugin).serve().unwrap();
}
