//! Events: numbered, written down, told live, and told to whoever asked for it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use plugbus::bus::{Subscriber, block_on};
use plugbus::supervisor::UnitState;
use rustix::process::Signal;
use serde_json::Value;

use crate::logs::Following;
use crate::support::{
    Bench, PATIENT, Stage, TEXT, eventually, nngcat, plugin, python, sdk_plugin, send, signal, text_plugin,
};

/// Exits at once, again and again.
const FLAPS: &str = "restart = 'always'\nbackoff = { min = '1ms', max = '2ms', jitter = 0.0, reset = '1h' }";

fn number(event: &Value) -> u64 {
    event["seq"].as_u64().unwrap()
}

#[test]
fn events_are_numbered_without_a_gap_and_told_live_as_they_are_written() {
    let mut stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("")));
    let mut before = stage.ready("text");
    let mut live = Subscriber::dial(&stage.bus().events_endpoint().unwrap()).unwrap();
    eventually("it is connected", || live.is_connected().then_some(()));
    // The publisher knows of it a moment later.
    let mut heard: Vec<Value> = Vec::new();
    eventually("an event is heard", || {
        signal(before.pid.unwrap(), Signal::KILL);
        before = stage.ready_again(&before);
        let patience = async { tokio::time::timeout(Duration::from_millis(500), live.next()).await };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let event = runtime.block_on(patience).ok()??;
        heard.push(serde_json::from_slice(&event).unwrap());
        Some(())
    });
    for _ in 0..3 {
        signal(before.pid.unwrap(), Signal::KILL);
        before = stage.ready_again(&before);
    }
    let last = number(stage.events().last().unwrap());
    while number(heard.last().unwrap()) < last {
        heard.push(serde_json::from_slice(&block_on(live.next()).unwrap()).unwrap());
    }
    let (first, written) = (number(&heard[0]), stage.events());
    assert_eq!(written.iter().map(number).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());
    assert_eq!(heard, written[usize::try_from(first).unwrap() - 1..]);
    stage.stop_without_trace();

    // The numbers go on with the next supervisor.
    let last = number(stage.events().last().unwrap());
    stage.supervise(&(PATIENT.to_owned() + &text_plugin("")));
    stage.ready("text");
    let numbers: Vec<_> = stage.events().iter().map(number).collect();
    assert_eq!(numbers, (1..=*numbers.last().unwrap()).collect::<Vec<_>>());
    assert!(*numbers.last().unwrap() > last);
}

/// Kills the plugin until the process prints something that has that in it.
fn tells(stage: &Stage, command: &mut std::process::Command, text: &str) {
    let out = stage.scratch().join("heard");
    command.stdin(Stdio::null()).stdout(fs::File::create(&out).unwrap()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut before = stage.ready("text");
    eventually("it tells of an event", || {
        signal(before.pid.unwrap(), Signal::KILL);
        before = stage.ready_again(&before);
        let heard = String::from_utf8_lossy(&fs::read(&out).unwrap()).into_owned();
        heard.contains(text).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn nngcat_hears_events() {
    let Some(mut nngcat) = nngcat() else { return };
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("backoff = { max = '100ms' }")));
    let socket = stage.bus().events_endpoint().unwrap().path().to_owned();
    nngcat.args(["--sub", "--subscribe", "", "--raw", "--connect-ipc"]).arg(socket);
    tells(&stage, &mut nngcat, "killed by SIGKILL");
}

#[test]
fn pynng_hears_events() {
    let Some(mut python) = python() else { return };
    let stage = Stage::start(&(PATIENT.to_owned() + &text_plugin("backoff = { max = '100ms' }")));
    let script = "import pynng, json, sys\nwith pynng.Sub0(dial=sys.argv[1], topics=b'') as sub:\n    while True:\n        \
        event = json.loads(sub.recv())\n        print(event.get('plugin'), event.get('to'), event['seq'], flush=True)\n";
    python.args(["-c", script, stage.bus().events_endpoint().unwrap().as_str()]);
    tells(&stage, &mut python, "text ready ");
}

#[test]
fn what_happened_is_told_afterwards_and_as_it_happens() {
    let mut bench = Bench::with_text();
    let mut follow = Following::start(&bench, &["events", "-f", "text"]);
    follow.until("text ready: ");
    let pid = bench.plugin()["pid"].as_u64().unwrap();
    send(Signal::KILL, pid);
    follow.until("text backing-off: killed by SIGKILL");
    follow.until("text ready: ");
    let all = bench.stdout(&["events"]);
    assert!(all.lines().next().unwrap().contains("supervisor started with process"), "{all}");
    let of_text = bench.stdout(&["events", "text", "-n", "2"]);
    assert_eq!(of_text.lines().count(), 2);
    assert!(of_text.contains("text ready: ") && of_text.contains("text starting: restart 1"), "{of_text}");
    assert_eq!(bench.stdout(&["events", "text", "--since", "1h"]).lines().count(), all.matches(" text ").count());
    // It goes on with the next supervisor, and tells what it was not there to hear.
    send(Signal::TERM, bench.supervisor().id().into());
    assert_eq!(bench.exit(), Some(0));
    follow.until("text stopped: ");
    let config = bench.write("plugbus.toml", TEXT);
    bench.start(&mut bench.plugbus(&["supervise", "-c", &config]));
    let lines = follow.until("text ready: ");
    assert!(lines.iter().any(|line| line.contains("text starting: asked to start")), "{lines:?}");
    follow.interrupt();
    let events: Vec<Value> =
        bench.stdout(&["events", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.iter().map(number).collect::<Vec<_>>(), (1..=events.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_command_is_told_of_a_plugin_in_trouble() {
    let mut stage = Stage::empty();
    let told = stage.scratch().join("told");
    let hook = format!("cat >> {0}; echo \"$PLUGBUS_EVENT $PLUGBUS_EVENT_PLUGIN\" >> {0}", told.display());
    let config = format!("[events]\non_event = ['sh', '-c', '{hook}']\n")
        + &plugin("gone", &["sh", "-c", "echo oh >&2; exit 3"], "restart = 'never'")
        + &plugin("flaps", &["sh", "-c", "exit 4"], FLAPS);
    stage.supervise(&config);
    let lines = eventually("both are told of", || {
        let text = fs::read_to_string(&told).ok()?;
        (text.contains("\nfailed gone\n") || text.contains("}failed gone\n")).then_some(())?;
        text.contains("flapping flaps\n").then_some(text)
    });
    let events: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let failed = events.iter().find(|event| event["plugin"] == "gone").unwrap();
    assert_eq!((&failed["to"], &failed["output"][0]), (&"failed".into(), &"oh".into()));
    let flapping = events.iter().find(|event| event["plugin"] == "flaps").unwrap();
    assert_eq!(flapping["event"], "flapping");
    assert!(
        flapping["reason"]
            .as_str()
            .unwrap()
            .starts_with("10 restarts within 1 min 0 s, and it goes on; exited with code 4")
    );
    // A hook may be told before the disk has it.
    eventually("they are written down", || {
        let written = stage.events();
        (written.contains(failed) && written.contains(flapping)).then_some(())
    });
    assert_eq!(events.len(), 2, "flapping is told once");
    stage.stop();
}

#[test]
fn a_hook_that_hangs_or_fails_is_named_and_holds_nothing_up() {
    let mut stage = Stage::empty();
    let config = "[events]\non_event = ['sh', '-c', 'sleep 1000 & wait']\ntimeout = '300ms'\n".to_owned()
        + &plugin("gone", &["sh", "-c", "exit 3"], "restart = 'never'")
        + &text_plugin("");
    stage.supervise(&config);
    stage.ready("text");
    let named = |text: &str| {
        eventually(text, || stage.events().into_iter().find(|event| event["reason"].as_str().unwrap().contains(text)))
    };
    let event = named("it was killed after 300 ms");
    assert!(event["reason"].as_str().unwrap().contains("failed for gone, failed: "), "{event}");
    stage.stop();
    let config = config.replace("sleep 1000 & wait", "exit 9");
    let mut stage = Stage::start(&config);
    eventually("it is named", || {
        let failed = |event: &Value| event["reason"].as_str().unwrap().contains("it ended with exit status: 9");
        stage.events().iter().any(failed).then_some(())
    });
    stage.stop();
}

#[test]
fn a_method_is_told_of_a_plugin_in_trouble() {
    let config = "[events]\non_event = 'sdk.swallow'\n".to_owned()
        + PATIENT
        + &sdk_plugin("sdk", "")
        + &plugin("gone", &["sh", "-c", "sleep 1; exit 3"], "restart = 'never'\nstart_timeout = '1h'");
    let mut stage = Stage::start(&config);
    stage.until("gone", |plugin| plugin.state == UnitState::Failed);
    stage.until("sdk", |plugin| plugin.answer.is_some_and(|answer| answer.done == 1 && answer.failed == 0));
    stage.stop();
}
