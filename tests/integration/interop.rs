//! Programs that share no code with us: they call our plugin, and we call theirs.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plugbus::bus::{Card, Endpoint, Lane, ProcessId, Requester, Surveyor, block_on};
use plugbus::config;
use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::supervisor::Supervisor;
use plugbus::wire::{Answer, Code, PROTOCOL, Phase, Question, Reply, RequestHead, Want};
use serde_json::{Value, json};

use crate::support::{
    PluginProcess, RawCaller, eventually, golden, mangos, nanocat, nngcat, python, refused_requests, text, text_on,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SENTENCE: &str = "Live on time, emit no evil";
const BACKWARDS: &str = "live on time ,emit no eviL";

/// What a program printed on stdout; fails where the program does.
#[track_caller]
fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[track_caller]
fn output_json(command: &mut Command) -> Value {
    serde_json::from_slice(&output(command)).unwrap()
}

fn python_plugin() -> Option<PluginProcess> {
    let mut command = python()?;
    command.arg(Path::new(ROOT).join("examples/python/text_plugin.py"));
    Some(PluginProcess::start(command))
}

fn pynng_call(plugin: &PluginProcess, arguments: &[&str]) -> Option<Value> {
    let mut command = python()?;
    let command = command.arg(Path::new(ROOT).join("tests/interop/call.py"));
    Some(output_json(command.arg(plugin.endpoint().as_str()).args(arguments)))
}

/// Calls over our own requester, on both lanes in turn; an error reads as its code.
fn call(plugin: &PluginProcess, method: &str, params: &Value) -> Result<Value, String> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let lane = Lane::ALL[NEXT.fetch_add(1, Ordering::Relaxed) % Lane::ALL.len()];
    let requester = Requester::dial_on(lane, plugin.endpoint()).unwrap();
    let timeout = Duration::from_secs(30);
    let body = RequestHead::new(method, timeout).encode(params).unwrap();
    let reply = block_on(requester.request(&body, timeout)).unwrap();
    match Reply::decode(&reply).unwrap() {
        Reply::Result(raw) => Ok(raw.to().unwrap()),
        Reply::Error(fault) => Err(fault.code.to_string()),
        Reply::Stream(opened) => panic!("{opened:?}"),
    }
}

/// The code of a reply that is an error.
#[track_caller]
fn code(reply: &[u8]) -> String {
    match Reply::decode(reply).unwrap() {
        Reply::Error(fault) => fault.code.to_string(),
        other => panic!("no error: {other:?}"),
    }
}

/// A call that runs until it is cancelled, as c-17.
fn slow_call() -> Vec<u8> {
    let head = RequestHead { id: Some("c-17"), ..RequestHead::new("slow_revert", Duration::from_secs(600)) };
    head.encode(&json!({"text": "abc", "ms": 600_000})).unwrap()
}

/// Asks until the plugin answers and the answer is as wanted.
fn ask(surveyor: &mut Surveyor, want: Want, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let mut round = 0;
    eventually("an answer to the survey", || {
        round += 1;
        let question = Question::new(round, want).encode();
        block_on(async {
            let mut answers = surveyor.survey(&question, Duration::from_millis(200)).await.unwrap();
            let (peer, body) = answers.next().await?;
            let answer = Answer::decode(&body).unwrap();
            assert_eq!(peer.pid, Some(answer.pid));
            (answer.round == round && wanted(&answer)).then_some(answer)
        })
    })
}

fn surveyor(plugin: &PluginProcess) -> Surveyor {
    Surveyor::listen(&plugin.bus().survey_endpoint().unwrap()).unwrap().0
}

fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn terminate(plugin: &PluginProcess) {
    kill(plugin.pid(), rustix::process::Signal::TERM);
}

#[test]
fn nngcat_and_nanocat_call_our_plugin() {
    // Both take the same arguments.
    for program in [nngcat as fn() -> Option<Command>, nanocat] {
        for lane in Lane::ALL {
            let Some(mut program) = program() else { continue };
            let plugin = text_on(lane);
            let request = plugin.scratch().join("request");
            std::fs::write(&request, golden("both/request")).unwrap();
            program.arg("--req").arg("--connect-ipc").arg(plugin.socket()).arg("--file").arg(request);
            assert_eq!(output(program.args(["--recv-timeout", "30", "--raw"])), golden("both/reply"), "{lane:?}");
        }
    }
}

/// A program that answers every request with the same message; ended when dropped.
struct Answering(Child, tempfile::TempDir);

impl Answering {
    fn start(mut program: Command) -> Self {
        let root = tempfile::tempdir().unwrap();
        let reply = root.path().join("reply");
        std::fs::write(&reply, golden("both/reply")).unwrap();
        program.arg("--rep").arg("--bind-ipc").arg(root.path().join("socket")).arg("--file").arg(reply);
        let child = program.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Self(child, root)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn both_lanes_call_nngcat_and_nanocat() {
    for program in [nngcat as fn() -> Option<Command>, nanocat] {
        let Some(program) = program() else { continue };
        let answering = Answering::start(program);
        let endpoint = Endpoint::ipc(&answering.1.path().join("socket")).unwrap();
        for lane in Lane::ALL {
            for way in [
                |requester: &Requester, body: &[u8], timeout| block_on(requester.request(body, timeout)),
                Requester::request_blocking,
            ] {
                let reply = eventually("it answers", || {
                    let requester = Requester::dial_on(lane, &endpoint).unwrap();
                    way(&requester, &golden("both/request"), Duration::from_secs(5)).ok()
                });
                assert_eq!(*reply, *golden("both/reply"), "{lane:?}");
            }
        }
    }
}

#[test]
fn pynng_calls_our_plugin() {
    for lane in Lane::ALL {
        pynng_calls(&text_on(lane));
    }
}

fn pynng_calls(plugin: &PluginProcess) {
    let Some(reply) = pynng_call(plugin, &["revert", &json!(SENTENCE).to_string()]) else { return };
    assert_eq!(reply, json!({"v": 1, "result": BACKWARDS}));
    let refused = pynng_call(plugin, &["revert", "\"x\"", "{\"instance\": \"another\"}"]).unwrap();
    assert_eq!(refused["error"]["code"], "stale_instance");
    let misspelt = pynng_call(plugin, &["revrt"]).unwrap();
    assert_eq!(misspelt["error"]["code"], "no_method");
    assert!(misspelt["error"]["message"].as_str().unwrap().contains("revert"), "{misspelt}");
}

#[test]
fn mangos_calls_our_plugin() {
    for lane in Lane::ALL {
        let Some(mut mangos) = mangos() else { return };
        let plugin = text_on(lane);
        mangos.args(["call", plugin.endpoint().as_str(), "revert", &json!(SENTENCE).to_string()]);
        assert_eq!(output_json(&mut mangos), json!({"v": 1, "result": BACKWARDS}), "{lane:?}");
    }
}

#[test]
fn a_plugin_in_python_is_surveyed_called_and_stopped() {
    let Some(mut plugin) = python_plugin() else { return };
    let mut surveyor = surveyor(&plugin);
    let answer = ask(&mut surveyor, Want::Info, |answer| answer.state == Phase::Ready);
    let found = (answer.name.as_str(), answer.instance.as_str(), answer.pid);
    assert_eq!(found, (PluginProcess::NAME, PluginProcess::INSTANCE, plugin.pid()));
    let methods: Vec<String> = answer.info.unwrap().methods.into_iter().map(|method| method.name).collect();
    assert_eq!(methods, ["revert", "count", "wrap", "slow_revert", "lines"]);

    assert_eq!(call(&plugin, "revert", &json!(SENTENCE)), Ok(json!(BACKWARDS)));
    // Draining: a new call is refused, the one that runs is waited for and answered, then it ends with 0.
    let mut slow = RawCaller::connect(&plugin.socket()).unwrap();
    slow.send(&[0x8000_0001], &slow_call()).unwrap();
    ask(&mut surveyor, Want::Ping, |answer| answer.load.in_flight == 1);
    terminate(&plugin);
    ask(&mut surveyor, Want::Ping, |answer| answer.state == Phase::Draining);
    assert_eq!(call(&plugin, "revert", &json!("x")), Err("draining".to_owned()));
    assert_eq!(call(&plugin, "$cancel", &json!({"id": "c-17"})), Ok(json!(true)));
    assert_eq!(code(&slow.receive().unwrap().1), "cancelled");
    assert_eq!(plugin.exit().code(), Some(0));
    assert!(!plugin.socket().exists());
}

#[test]
fn our_host_calls_a_plugin_in_python_by_its_card() {
    let Some(plugin) = python_plugin() else { return };
    let answer = ask(&mut surveyor(&plugin), Want::Info, |answer| answer.state == Phase::Ready);
    let info = answer.info.unwrap();
    let card = Card {
        name: answer.name,
        instance: answer.instance,
        version: info.version,
        process: ProcessId::of(answer.pid).unwrap(),
        protocol: PROTOCOL,
        protocol_max: None,
        url: plugin.endpoint().to_string(),
        methods: info.methods,
    };
    plugin.bus().publish(&card).unwrap();

    let bus = Bus::at(plugin.bus().path()).unwrap();
    assert_eq!(bus.call::<String, _>("revert", SENTENCE).unwrap(), BACKWARDS);
    let lines: Vec<String> = bus.call("text.wrap", &json!({"text": SENTENCE, "width": 9})).unwrap();
    assert_eq!(lines, ["Live on", "time,", "emit no", "evil"]);
    for count in [0, 1, 5000] {
        let text = "a line\n".repeat(count);
        let lines: Vec<String> = bus.request("lines").stream(&text).unwrap().map(Result::unwrap).collect();
        assert_eq!(lines, vec!["a line"; count]);
    }
    let mut some = bus.request("lines").stream::<String, _>(&"a line\n".repeat(5000)).unwrap();
    assert_eq!(some.next().unwrap().unwrap(), "a line");
    let load = || call(&plugin, "$stats", &Value::Null).unwrap();
    let (before, open) = (load()["done"].clone(), load()["in_flight"].clone());
    drop(some);
    assert_eq!(
        (before, open, load()["done"].clone(), load()["in_flight"].clone()),
        (json!(5), json!(1), json!(6), json!(0))
    );
    let refused = bus.call::<Value, _>("wrap", &json!({"text": SENTENCE, "width": 0})).unwrap_err();
    let CallError::Plugin { fault, .. } = refused else { panic!("{refused}") };
    assert_eq!((fault.code, fault.data_json().as_deref()), (Code::BadParams, Some("{\"width\":0}")));
}

#[test]
fn our_supervisor_runs_a_plugin_in_python_and_brings_it_back() {
    let Some(python) = python() else { return };
    let root = tempfile::tempdir().unwrap();
    let mut spec = config::load(&[Path::new(ROOT).join("examples/python/plugbus.toml")]).unwrap().spec;
    spec.directory = Some(root.path().join("bus"));
    // Pinned in the bus, not beside the file: what is tested stays as it is.
    spec.trust.lock = None;
    // The script says `/usr/bin/env python3`: what is to be found there is the Python of the tests.
    let python = Path::new(python.get_program()).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = Some(python).filter(|folder| folder.is_absolute());
    let path = std::env::join_paths(first.into_iter().chain(std::env::split_paths(&path))).unwrap();
    let env = &mut spec.plugins[0].env;
    env.insert("PATH".to_owned(), path.into_string().unwrap());
    env.insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let timeout = Duration::from_secs(30);
    runtime.block_on(async {
        let supervisor = Supervisor::start(spec).await.unwrap();
        supervisor.wait_ready(timeout).await.unwrap();
        let bus = plugbus::host::Bus::at(supervisor.directory()).unwrap();
        assert_eq!(bus.request("revert").timeout(timeout).call::<String, _>(SENTENCE).await.unwrap(), BACKWARDS);

        let mut command = Command::new(env!("CARGO_BIN_EXE_plugbus"));
        command.args(["--bus", "bus", "call", "--timeout", "30s", "text.revert", SENTENCE]);
        let printed = output(command.env("PLUGBUS_DIR", root.path()));
        assert_eq!(String::from_utf8(printed).unwrap(), format!("{BACKWARDS}\n"));

        let card = |bus: &plugbus::host::Bus| bus.plugins().unwrap().into_iter().find(|card| card.name == "text");
        let first = card(&bus).unwrap();
        kill(first.process.pid, rustix::process::Signal::KILL);
        let second = eventually("another instance", || card(&bus).filter(|card| card.instance != first.instance));
        assert_ne!(first.process, second.process);
        assert_eq!(bus.request("revert").timeout(timeout).call::<String, _>(SENTENCE).await.unwrap(), BACKWARDS);
        supervisor.stop().await;
        assert!(!second.process.is_alive());
    });
}

#[test]
fn calls_that_run_hold_up_no_survey_in_python() {
    let Some(plugin) = python_plugin() else { return };
    let mut surveyor = surveyor(&plugin);
    let mut callers = Vec::new();
    for running in 1..=4 {
        let mut caller = RawCaller::connect(&plugin.socket()).unwrap();
        caller.send(&[0x8000_0001], &slow_call()).unwrap();
        callers.push(caller);
        ask(&mut surveyor, Want::Ping, |answer| answer.load.in_flight == running);
    }
    assert_eq!(call(&plugin, "revert", &json!("x")), Err("busy".to_owned()));
    assert_eq!(call(&plugin, "$cancel", &json!({"id": "c-17"})), Ok(json!(true)));
    for mut caller in callers {
        assert_eq!(code(&caller.receive().unwrap().1), "cancelled");
    }
    assert_eq!(call(&plugin, "$cancel", &json!({"id": "c-17"})), Ok(json!(false)));
}

#[test]
fn a_plugin_in_python_refuses_what_is_to_be_refused() {
    let Some(plugin) = python_plugin() else { return };
    for (name, body, expected) in refused_requests() {
        // Python reads deeper than the protocol asks for, and may.
        if name == "request-too-deep" {
            continue;
        }
        let reply = RawCaller::connect(&plugin.socket()).unwrap().call(&body).unwrap();
        assert_eq!(expected, code(&reply), "{name}");
    }
}

#[test]
fn the_same_plugin_in_python_and_in_rust() {
    let Some(theirs) = python_plugin() else { return };
    let ours = text();
    for (method, params) in [
        ("revert", json!(SENTENCE)),
        ("revert", json!("")),
        (
            "revert",
            json!("e\u{301}a \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f1e9}\u{1f1ea}\u{1f1eb}\u{1f1f7}"),
        ),
        ("revert", json!("\u{1f44d}\u{1f3fd}\u{2764}\u{fe0f} \u{110b}\u{1161}\u{11ab}\u{c548} a\r\nb")),
        ("revert", json!(7)),
        ("count", json!("two words -\nand three more, isn't it?\n")),
        ("count", json!("")),
        ("wrap", json!({"text": SENTENCE, "width": 9})),
        ("wrap", json!({"text": "an unbelievably e\u{301}e\u{301}e\u{301}e\u{301} long word", "width": 4})),
        ("wrap", json!({"text": SENTENCE, "width": 0})),
        ("wrap", json!({"text": SENTENCE})),
        ("slow_revert", json!({"text": "abc", "ms": 10})),
        ("lines", json!(7)),
        ("$next", json!({"stream": "nobody's"})),
        ("$next", json!({"stream": 7})),
        ("$close", json!({"stream": "nobody's"})),
        ("$close", Value::Null),
        ("$ping", Value::Null),
        ("nothing", Value::Null),
        ("$nothing", Value::Null),
    ] {
        assert_eq!(call(&theirs, method, &params), call(&ours, method, &params), "{method} {params}");
    }
}

#[test]
fn a_plugin_in_go_is_surveyed_called_and_stopped() {
    let Some(mut mangos) = mangos() else { return };
    mangos.arg("plugin");
    let mut plugin = PluginProcess::start(mangos);
    let mut surveyor = surveyor(&plugin);
    let answer = ask(&mut surveyor, Want::Info, |answer| answer.state == Phase::Ready);
    assert_eq!(answer.info.unwrap().methods[0].name, "revert");
    assert_eq!(call(&plugin, "revert", &json!(SENTENCE)), Ok(json!(BACKWARDS)));
    assert_eq!(call(&plugin, "$stop", &Value::Null), Ok(Value::Null));
    assert_eq!(plugin.exit().code(), Some(0));
}

#[test]
fn the_plugin_of_the_protocol_text_works_and_has_30_lines() {
    let Some(mut python) = python() else { return };
    let document = std::fs::read_to_string(Path::new(ROOT).join("docs/protocol.md")).unwrap();
    let snippet = document.split("```python plugin\n").nth(1).expect("the plugin").split("```").next().unwrap();
    let lines = snippet.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 30, "the plugin has {lines} lines");

    python.args(["-c", snippet]);
    let mut plugin = PluginProcess::start(python);
    let mut surveyor = surveyor(&plugin);
    let answer = ask(&mut surveyor, Want::Info, |answer| answer.state == Phase::Ready);
    assert_eq!(answer.info.unwrap().methods[0].name, "revert");
    assert_eq!(call(&plugin, "revert", &json!(SENTENCE)), Ok(json!(BACKWARDS)));
    assert_eq!(call(&plugin, "revrt", &json!(SENTENCE)), Err("no_method".to_owned()));
    assert_eq!(call(&plugin, "revert", &json!(7)), Err("failed".to_owned()));
    for builtin in ["$ping", "$info", "$stats", "$cancel"] {
        call(&plugin, builtin, &json!({"id": "c-17"})).unwrap();
    }
    terminate(&plugin);
    assert_eq!(plugin.exit().code(), Some(0));
}
