//! The supervisor as a daemon: under systemd, and where nobody but a shell starts it.

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getsid};

use crate::support::{Bench, TEXT, eventually, missing, send};

/// What a service manager is told, until it is told that.
#[track_caller]
fn until(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut told = Vec::new();
    let mut buffer = [0; 4096];
    eventually(wanted, || {
        let length = socket.recv(&mut buffer).ok()?;
        told.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        told.last().unwrap().contains(wanted).then_some(())
    });
    told
}

fn listener(address: &SocketAddr) -> UnixDatagram {
    let socket = UnixDatagram::bind_addr(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket
}

#[test]
fn systemd_is_told_when_it_is_ready_well_reloading_and_stopping() {
    let mut bench = Bench::empty();
    let path = bench.path().join("notify");
    let socket = listener(&SocketAddr::from_pathname(&path).unwrap());
    let config = bench.write("plugbus.toml", TEXT);
    let mut supervise = bench.plugbus(&["supervise", "-c", &config]);
    // Not its own, but that of the shell which becomes it.
    supervise.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    bench.start(&mut supervise);
    let told = until(&socket, "READY=1");
    assert_eq!(told, ["READY=1"]);
    until(&socket, "STATUS=");
    let begun = Instant::now();
    (0..5).for_each(|_| drop(until(&socket, "WATCHDOG=1")));
    assert!(begun.elapsed() < Duration::from_secs(20));
    send(Signal::HUP, bench.supervisor().id().into());
    until(&socket, "RELOADING=1");
    until(&socket, "READY=1");
    // Who hears nothing more of it restarts it.
    let supervisor = u64::from(bench.supervisor().id());
    send(Signal::STOP, supervisor);
    eventually("silence", || socket.recv(&mut [0; 4096]).is_err().then_some(()));
    send(Signal::CONT, supervisor);
    until(&socket, "WATCHDOG=1");
    // Its plugins are not asked to speak for it.
    let environment = fs::read(format!("/proc/{}/environ", bench.plugin()["pid"])).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG"), "{environment}");
    send(Signal::TERM, supervisor);
    until(&socket, "STOPPING=1");
    assert_eq!(bench.exit(), Some(0));
}

#[test]
fn systemd_may_listen_at_an_address_that_is_no_file() {
    let mut bench = Bench::empty();
    let name = format!("plugbus-test-{}", std::process::id());
    let socket = listener(&SocketAddr::from_abstract_name(&name).unwrap());
    let config = bench.write("plugbus.toml", TEXT);
    let mut supervise = bench.plugbus(&["supervise", "-c", &config]);
    bench
        .start(supervise.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_PID", "1").env("WATCHDOG_USEC", "1"));
    until(&socket, "READY=1");
    let told = until(&socket, "STATUS=1 of 1 plugins ready");
    assert!(!told.iter().any(|line| line.contains("WATCHDOG")), "the watchdog is for another process");
}

#[test]
fn the_journal_gets_priorities_and_neither_times_nor_colours() {
    let mut bench = Bench::empty();
    let said = bench.path().join("said");
    let file = fs::File::create(&said).unwrap();
    let stream = file.metadata().map(|found| format!("{}:{}", found.dev(), found.ino())).unwrap();
    let more = "[plugins.gone]\ncommand = ['sh', '-c', 'exit 3']\nrestart = 'never'\n";
    let config = bench.write("plugbus.toml", &(TEXT.to_owned() + more));
    let mut supervise = bench.plugbus(&["supervise", "-c", &config]);
    bench.start(supervise.stderr(file).env("JOURNAL_STREAM", stream));
    let told = eventually("it is told", || {
        let text = fs::read_to_string(&said).unwrap();
        (text.contains("gone is failed") && text.contains("text is ready")).then_some(text)
    });
    for line in told.lines() {
        assert!(["<3>", "<4>", "<6>"].iter().any(|priority| line.starts_with(priority)), "{line}");
    }
    assert!(told.contains("<4>gone is failed: ") && told.contains("<6>text is ready: "), "{told}");
}

fn pid_in(path: &std::path::Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[test]
fn a_detached_supervisor_can_be_called_when_the_command_returns() {
    let bench = Bench::empty();
    let (config, pid_file) = (bench.write("plugbus.toml", TEXT), bench.path().join("plugbus.pid"));
    let arguments = ["supervise", "--detach", "-c", &config, "--pid-file", pid_file.to_str().unwrap()];
    let said = bench.stdout(&arguments);
    let pid = pid_in(&pid_file).unwrap();
    assert_eq!(said, format!("supervising, with process {pid}\n"));
    assert_eq!(bench.json(&["status"])["pid"], pid);
    let own = i32::try_from(pid).unwrap();
    assert_eq!(getsid(Pid::from_raw(own)).unwrap().as_raw_nonzero().get(), own, "it has a session of its own");
    assert_eq!(bench.stdout(&["call", "revert", "ab"]), "ba\n");
    // What it says is in a file; what goes wrong before that is told by the command, with its code.
    let second = bench.expect(&arguments, 1);
    assert!(second.stderr.contains("supervises the bus"), "{}", second.stderr);
    assert_eq!(pid_in(&pid_file), Some(pid));
    let bad = bench.write("bad.toml", "[survey]\nintervall = 1\n");
    let refused = bench.expect(&["supervise", "--detach", "-c", &bad], 3);
    assert!(refused.stderr.contains("did you mean \"interval\""), "{}", refused.stderr);
    bench.expect(&["supervise", "-c", &config, "--pid-file", "x"], 2);
    send(Signal::HUP, pid);
    let log = bench.path().join("default/log/supervisor.log");
    let text = |wanted: &str| {
        eventually(wanted, || fs::read_to_string(&log).ok().filter(|text| text.contains(wanted)));
    };
    text("SIGHUP: reloaded");
    // Its program is replaced; it stays the daemon that it is.
    let plugin = bench.plugin()["pid"].clone();
    send(Signal::USR2, pid);
    text("taken back");
    eventually("it is ready again", || (bench.plugin()["state"] == "ready").then_some(()));
    assert_eq!((bench.plugin()["pid"].clone(), pid_in(&pid_file)), (plugin, Some(pid)));
    send(Signal::TERM, pid);
    text("supervisor: stopped");
    eventually("its pid file is gone", || (!pid_file.exists()).then_some(()));
}

#[test]
fn the_unit_file_is_one() {
    let bench = Bench::empty();
    let config = bench.write("a plugbus.toml", TEXT);
    for arguments in [
        &["unit", "-c", &config][..],
        &["unit", "--user", "-c", &config],
        &["unit", "--account", "daemon", "-c", &config],
    ] {
        let unit = bench.stdout(arguments);
        let starts = format!("{} supervise -c \"{config}\"\n", env!("CARGO_BIN_EXE_plugbus"));
        assert!(unit.contains(&starts), "{unit}");
        let analyze = Command::new("systemd-analyze").arg("--version").output();
        if analyze.is_err() {
            return missing("systemd-analyze").unwrap_or_default();
        }
        let file = bench.write("plugbus.service", &unit);
        let verified = Command::new("systemd-analyze").args(["verify", "--man=no", &file]).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        // One key is newer than some systemds, which say that they ignore it.
        // It also looks at every unit of the machine that ours depends on.
        let known = |line: &&str| !line.contains("DelegateSubgroup");
        let ours: Vec<_> = said.lines().filter(|line| line.contains("plugbus")).filter(known).collect();
        assert!(ours.is_empty(), "{ours:#?}");
    }
    bench.expect(&["unit", "-c", "nowhere.toml"], 3);
}
