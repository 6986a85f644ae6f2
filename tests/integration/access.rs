//! Who may call, and who is believed to be the plugin that was called.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plugbus::bus::{Card, ProcessId};
use plugbus::host::blocking::Bus;
use plugbus::wire::MethodInfo;

use crate::support::{LONG, PluginProcess, RawCaller, eventually, text};

const NOBODY: u32 = 65534;

/// A process that lives and listens nowhere; ended when dropped.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).process_group(0).spawn().unwrap())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A card at the plugin's own socket.
fn card(plugin: &PluginProcess, name: &str, instance: &str, pid: u32) -> Card {
    Card {
        name: name.into(),
        instance: instance.into(),
        version: String::new(),
        process: ProcessId::of(pid).unwrap(),
        protocol: 1,
        protocol_max: None,
        url: plugin.endpoint().to_string(),
        methods: vec![MethodInfo::new("revert")],
    }
}

#[test]
fn a_card_that_lies_about_its_process_gets_no_call() {
    let (plugin, bystander) = (text(), Bystander::new());
    // As if somebody listened where the plugin `vault` should, and its process lived.
    plugin.bus().publish(&card(&plugin, "vault", "aaaaaaaaaa", bystander.0.id())).unwrap();
    let bus = Bus::at(plugin.bus().path()).unwrap();
    let second = Duration::from_secs(1);
    let refused = bus.request("vault.revert").timeout(second).call::<String, _>("secret").unwrap_err();
    let stats = bus.request("vault.$stats").timeout(second).call::<serde_json::Value, _>(&());
    assert!(stats.is_err(), "{stats:?}");
    // The honest one beside it gets every call.
    plugin.bus().publish(&card(&plugin, "text", PluginProcess::INSTANCE, plugin.pid())).unwrap();
    plugin.bus().publish(&card(&plugin, "text", "zzzzzzzzzz", bystander.0.id())).unwrap();
    for _ in 0..20 {
        assert_eq!(bus.request("text.revert").timeout(LONG).call::<String, _>("ab").unwrap(), "ba");
    }
    let stats: serde_json::Value = bus.request("text.$stats").timeout(LONG).call(&()).unwrap();
    assert_eq!(stats["done"], 20, "the secret was sent: {refused}; {stats}");
}

#[test]
fn another_user_is_told_whose_bus_it_is() {
    let plugin = text();
    if !rustix::process::geteuid().is_root() {
        let _ = writeln!(io::stderr(), "not root: nothing is tried as another user");
        return;
    }
    fs::set_permissions(plugin.scratch(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
    command.args(["call", "--bus", "bus", "text.revert", "ab"]).env("PLUGBUS_DIR", plugin.scratch());
    let Ok(output) = command.uid(NOBODY).gid(NOBODY).current_dir("/").output() else {
        let _ = writeln!(io::stderr(), "another user cannot execute plugbus here: nothing is tried");
        return;
    };
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(said.contains("belongs to user 0, not to you (65534)"), "{said}");
}

#[test]
fn one_caller_cannot_take_every_connection() {
    let mut shell = Command::new("sh");
    // The plugin has few descriptors; this test is its one caller and takes as many as it gets.
    shell.args(["-c", "ulimit -n 64; exec \"$0\"", env!("CARGO_BIN_EXE_plugbus-text")]);
    let plugin = PluginProcess::start(shell);
    let crowd: Vec<_> = std::iter::from_fn(|| RawCaller::connect(&plugin.socket()).ok()).take(64).collect();
    assert!((24..=32).contains(&crowd.len()), "{} connections", crowd.len());
    // Another process gets in all the same.
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
    plugin.bus().publish(&card(&plugin, "text", PluginProcess::INSTANCE, plugin.pid())).unwrap();
    command.args(["call", "--bus", "bus", "text.revert", "ab"]).env("PLUGBUS_DIR", plugin.scratch());
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), "ba", "{:?}", output.stderr);
    drop(crowd);
    eventually("there is room again", || RawCaller::connect(&plugin.socket()).ok());
}
