//! Every signal goes to a verified identity.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use plugbus::bus::ProcessId;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{QUICK, Stage, misbehaving, signal, text_plugin};

/// A process that has nothing to do with the bus, leader of its own group; ended when dropped.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).process_group(0).spawn().unwrap())
    }

    #[track_caller]
    fn assert_untouched(&mut self) {
        assert_eq!(self.0.try_wait().unwrap(), None, "it was killed");
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        assert!(status.contains("State:\tS"), "it was stopped: {status}");
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn invariant_8_a_process_that_has_only_the_pid_of_a_plugin_is_never_signalled() {
    let mut bystander = Bystander::new();
    let mut stage = Stage::empty();
    fs::create_dir_all(stage.bus().state_dir()).unwrap();
    let real = ProcessId::of(bystander.0.id()).unwrap();
    // What a supervisor left that died before the machine gave the pid to somebody else.
    for (instance, start_time) in
        [("aaaaaaaaaa", real.start_time - 1), ("bbbbbbbbbb", real.start_time + 1), ("cccccccccc", 0)]
    {
        let record = json!({"name": "text", "instance": instance, "pid": real.pid, "start_time": start_time});
        fs::write(stage.bus().state_dir().join(format!("text.{instance}.json")), record.to_string()).unwrap();
        let url = stage.bus().endpoint("text", instance).unwrap().to_string();
        let card = json!({"name": "text", "instance": instance, "pid": real.pid, "start_time": start_time,
            "protocol": 1, "url": url, "version": "", "methods": []});
        fs::write(stage.bus().path().join(format!("text.{instance}.json")), card.to_string()).unwrap();
    }
    stage.supervise(&(QUICK.to_owned() + &text_plugin("")));
    stage.ready("text");
    bystander.assert_untouched();
    let alive: Vec<_> = stage.cards().into_iter().filter(|card| card.process.pid == real.pid).collect();
    assert!(alive.is_empty(), "a card of nobody was kept: {alive:?}");
    stage.stop_without_trace();
    bystander.assert_untouched();
}

#[test]
fn invariant_8_who_answers_in_the_name_of_another_does_not_keep_it_alive() {
    let at_once = "start_timeout = '600s'";
    let config = QUICK.to_owned() + &text_plugin("") + &misbehaving("liar", "as=text", at_once);
    let stage = Stage::start(&config);
    let before = stage.ready("text");
    signal(before.pid.unwrap(), Signal::STOP);
    // The liar goes on answering for it all the time.
    let after = stage.ready_again(&before);
    let end = after.last_end.unwrap().reason;
    assert!(end.starts_with("silent: missed 3 survey rounds; killed by SIGKILL"), "{end}");
    let liar = stage.plugin("liar");
    assert_eq!((liar.state.as_str(), liar.answer), ("starting", None));
    let accused = format!("process {} answered as \"text\" in its name; not believed", liar.pid.unwrap());
    assert!(stage.events().iter().any(|event| event["reason"] == accused.as_str()), "{:?}", stage.events());
}
