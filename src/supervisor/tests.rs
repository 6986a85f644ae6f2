//! A whole supervisor with real processes: this test program, started again as a plugin that speaks by hand.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use serde_json::json;

use crate::bus::{BusDir, Card, Endpoint, Lane, ProcessId, Replier, RequestError, Requester, Respondent};
use crate::host::{Bus, CallError};
use crate::plugin::{Failure, Plugin};
use crate::supervisor::process::Tree;
use crate::supervisor::process::tests::{Ends, EndsTree};
use crate::supervisor::unit::sample_spec;
use crate::trust::{Trust, TrustSpec};
use crate::wire::{Answer, Code, Fault, Info, Phase, Question, Reply, RequestHead, Want};

/// Far longer than anything here takes, on any machine.
const LONG: Duration = Duration::from_secs(30);

/// What the plugin of the tests does; tells it from the test of that name being run as a test.
const MOOD: &str = "TEST_MOOD";

/// Not a test: the plugin, when a supervisor under test starts it.
#[tokio::test]
async fn act_as_plugin() {
    let Ok(mood) = std::env::var(MOOD) else { return };
    if mood == "serve" {
        let pid = |_: Option<()>| Ok::<_, Failure>(std::process::id());
        let plugin = Plugin::new("unused", "7").method("pid", "Its process.", pid);
        return tokio::task::spawn_blocking(|| plugin.serve().unwrap()).await.unwrap();
    }
    let given = |name| std::env::var(name).expect(name);
    let _replier = Replier::listen(&given("PLUGBUS_CALL_URL").parse().unwrap(), 1).unwrap();
    let survey: Endpoint = given("PLUGBUS_SURVEY_URL").parse().unwrap();
    let mut respondent = Respondent::dial(&survey).unwrap();
    // Once somebody listens for it, the signal does not end the process any more.
    let _deaf = (mood == "ignore").then(|| tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()));
    while let Some(question) = respondent.next().await {
        let asked = Question::decode(question.body()).unwrap();
        let mut answer = Answer::new(&asked, &given("PLUGBUS_NAME"), &given("PLUGBUS_INSTANCE"), Phase::Ready);
        if mood == "dawdle" {
            answer.state = Phase::Starting;
        }
        if asked.want == Want::Info {
            answer.info = Some(Info { version: "7".into(), ..Info::default() });
        }
        if mood == "take its time" {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        question.reply(&answer.encode().unwrap());
    }
}

pub(super) fn plugin(name: &str, command: &[&str]) -> PluginSpec {
    PluginSpec {
        name: name.into(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        trust: Trust::Any,
        files: Vec::new(),
        cwd: std::env::temp_dir(),
        backoff: BackoffSpec {
            min: Duration::from_millis(20),
            max: Duration::from_millis(100),
            jitter: 0.2,
            reset: Duration::from_secs(60),
        },
        start_timeout: LONG,
        stop_grace: LONG,
        ..sample_spec()
    }
}

fn acting(name: &str, mood: &str) -> PluginSpec {
    let own = std::env::current_exe().unwrap();
    let arguments = ["supervisor::tests::act_as_plugin", "--exact", "--nocapture"];
    let mut spec = plugin(name, &[&[own.to_str().unwrap()], &arguments[..]].concat());
    spec.env.insert(MOOD.into(), mood.into());
    spec
}

fn spec(directory: &Path, plugins: Vec<PluginSpec>) -> SupervisorSpec {
    SupervisorSpec {
        bus: "default".into(),
        directory: Some(directory.into()),
        lane: Lane::Direct,
        survey: SurveySpec { interval: Duration::from_millis(100), deadline: Duration::from_millis(500), misses: 8 },
        log: LogSpec { max_size: 1 << 20, keep: 2, max_age: Duration::MAX },
        events: EventSpec { on_event: None, kinds: Vec::new(), timeout: LONG },
        trust: TrustSpec::default(),
        sink: None,
        cgroup: CgroupUse::Auto,
        adopts_orphans: false,
        plugins,
        defaults: plugin("", &[]),
    }
}

/// A supervisor on a bus of its own.
struct Stage {
    root: tempfile::TempDir,
    supervisor: Supervisor,
}

impl Stage {
    async fn new(plugins: Vec<PluginSpec>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::start(spec(&root.path().join("bus"), plugins)).await.unwrap();
        Self { root, supervisor }
    }

    fn dir(&self) -> BusDir {
        BusDir::at(self.supervisor.directory())
    }

    /// Waits until the plugin is as wished; answers how it then is.
    async fn until(&self, name: &str, wished: impl Fn(&PluginStatus) -> bool) -> PluginStatus {
        let end = Instant::now() + LONG;
        loop {
            let status = self.supervisor.status().await.unwrap();
            let found = status.plugins.into_iter().find(|plugin| plugin.name == name).unwrap();
            if wished(&found) {
                return found;
            }
            assert!(Instant::now() < end, "it never came to that: {found:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn cards(&self) -> Vec<Card> {
        self.dir().cards().unwrap().into_iter().filter(|card| card.name != "supervisor").collect()
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.dir().log_dir().join(name)).unwrap_or_default()
    }

    async fn stop(self) -> tempfile::TempDir {
        self.supervisor.stop().await;
        self.root
    }
}

fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn what_is_killed_is_ready_again_with_a_new_card() {
    let stage = Stage::new(vec![acting("text", "work")]).await;
    stage.supervisor.wait_ready(LONG).await.unwrap();
    let before = stage.until("text", |plugin| plugin.state == UnitState::Ready).await;
    assert_eq!(stage.cards().len(), 1);
    signal(before.pid.unwrap(), rustix::process::Signal::KILL);
    let after = stage.until("text", |plugin| plugin.state == UnitState::Ready && plugin.pid != before.pid).await;
    assert_eq!((after.restarts, after.version.as_str()), (1, "7"));
    assert!(after.last_end.unwrap().reason.starts_with("killed by SIGKILL after"), "{:?}", after.reason);
    let cards = stage.cards();
    assert_eq!((cards.len(), Some(cards[0].instance.clone())), (1, after.instance));
    assert!(
        fs::read_dir(stage.dir().path())
            .unwrap()
            .flatten()
            .all(|entry| { !entry.file_name().to_string_lossy().contains(before.instance.as_deref().unwrap()) })
    );
    stage.stop().await;
}

#[tokio::test]
async fn what_falls_silent_is_killed_and_ready_again() {
    let stage = Stage::new(vec![acting("text", "work"), acting("other", "work")]).await;
    stage.supervisor.wait_ready(LONG).await.unwrap();
    let before = stage.until("text", |plugin| plugin.state == UnitState::Ready).await;
    signal(before.pid.unwrap(), rustix::process::Signal::STOP);
    let after = stage.until("text", |plugin| plugin.restarts == 1 && plugin.state == UnitState::Ready).await;
    let why = after.last_end.unwrap().reason;
    assert!(why.starts_with("silent: missed 8 survey rounds; killed by SIGKILL after"), "{why}");
    assert_eq!(stage.until("other", |_| true).await.restarts, 0);
    stage.stop().await;
}

#[tokio::test]
async fn an_answer_in_somebody_elses_name_is_not_believed() {
    // The round is over when the plugin has answered, and the lie has to come before that.
    let stage = Stage::new(vec![acting("text", "take its time")]).await;
    stage.supervisor.wait_ready(LONG).await.unwrap();
    let card = stage.cards()[0].clone();
    let mut liar = Respondent::dial(&stage.dir().survey_endpoint().unwrap()).unwrap();
    let told = format!("process {} answered as", std::process::id());
    let end = Instant::now() + LONG;
    while !stage.log("supervisor.events.jsonl").contains(&told) {
        assert!(Instant::now() < end, "{}", stage.log("supervisor.events.jsonl"));
        let question = liar.next().await.unwrap();
        let asked = Question::decode(question.body()).unwrap();
        let lie = Answer::new(&asked, "text", &card.instance, Phase::Draining);
        question.reply(&lie.encode().unwrap());
    }
    assert_eq!(stage.log("supervisor.events.jsonl").matches("not believed").count(), 1, "each liar is named once");
    let text = stage.until("text", |_| true).await;
    assert_eq!((text.state, text.restarts, stage.cards().len()), (UnitState::Ready, 0, 1));
    stage.stop().await;
}

#[tokio::test]
async fn a_stop_leaves_no_process_and_no_file() {
    let mut stubborn = acting("stubborn", "ignore");
    stubborn.stop_grace = Duration::from_millis(200);
    let stage =
        Stage::new(vec![acting("text", "work"), stubborn, plugin("tree", &["sh", "-c", "sleep 1000 & sleep 1000"])])
            .await;
    let pids = [
        stage.until("text", |plugin| plugin.state == UnitState::Ready).await.pid,
        stage.until("stubborn", |plugin| plugin.state == UnitState::Ready).await.pid,
        stage.until("tree", |plugin| plugin.pid.is_some()).await.pid,
    ];
    let log = stage.dir().log_dir().join("supervisor.events.jsonl");
    let root = stage.stop().await;
    for pid in pids.into_iter().flatten() {
        assert_eq!(ProcessId::of(pid), None);
    }
    let mut left: Vec<_> =
        fs::read_dir(root.path().join("bus")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["lock", "log", "state"]);
    assert_eq!(fs::read_dir(root.path().join("bus/state")).unwrap().count(), 0);
    let events = fs::read_to_string(log).unwrap();
    for words in ["stopped as asked: killed by SIGTERM", "stopped as asked, but ignored SIGTERM: killed by SIGKILL"] {
        assert!(events.contains(words), "{words} in {events}");
    }
}

#[tokio::test]
async fn what_cannot_run_says_why_and_disturbs_nobody() {
    let mut lost = plugin("lost", &["/no/such/program"]);
    lost.restart = RestartPolicy::Never;
    let mut late = acting("late", "dawdle");
    late.start_timeout = Duration::from_millis(300);
    let crash = plugin("crash", &["sh", "-c", "echo out of cheese >&2; exit 3"]);
    let stage = Stage::new(vec![acting("text", "work"), lost, crash, late]).await;
    let crashed = stage.until("crash", |plugin| plugin.restarts >= 2 && plugin.state == UnitState::BackingOff).await;
    assert!(crashed.reason.contains("exited with code 3 after"), "{}", crashed.reason);
    assert!(crashed.reason.contains(": out of cheese; restarting in "), "{}", crashed.reason);
    let lost = stage.until("lost", |plugin| plugin.state == UnitState::Failed).await;
    assert!(lost.reason.starts_with("program not found: /no/such/program"), "{}", lost.reason);
    // On a busy machine the first of its processes may not get as far as to answer.
    let late = "not ready 300 ms after its start: it still says that it is starting;";
    stage.until("late", |plugin| plugin.last_end.as_ref().is_some_and(|end| end.reason.starts_with(late))).await;
    assert_eq!(stage.until("text", |plugin| plugin.state == UnitState::Ready).await.restarts, 0);
    let error = stage.supervisor.wait_ready(LONG).await.unwrap_err().to_string();
    assert!(error.contains("lost is failed: program not found"), "{error}");
    stage.stop().await;
}

#[tokio::test]
async fn what_is_printed_is_kept() {
    let stage =
        Stage::new(vec![plugin("chatty", &["sh", "-c", "echo hello; echo oh no >&2; exec sleep 1000"])]).await;
    let chatty = stage.until("chatty", |plugin| plugin.last_line.is_some()).await;
    assert_eq!(chatty.last_line.as_deref(), Some("oh no"));
    let instance = chatty.instance.unwrap();
    let end = Instant::now() + LONG;
    while !(stage.log("chatty.log").contains("out| hello\n") && stage.log("chatty.log").contains("err| oh no\n")) {
        assert!(Instant::now() < end, "{}", stage.log("chatty.log"));
        tokio::task::yield_now().await;
    }
    assert!(stage.log("chatty.log").contains(&instance));
    stage.stop().await;
}

#[tokio::test]
async fn a_second_supervisor_is_refused_and_the_next_one_clears_up() {
    let stage = Stage::new(vec![acting("text", "work")]).await;
    stage.supervisor.wait_ready(LONG).await.unwrap();
    let path = stage.supervisor.directory().to_owned();
    let second = Supervisor::start(spec(&path, vec![])).await.unwrap_err();
    assert!(matches!(second, SupervisorError::Bus(crate::bus::BusError::Locked { .. })), "{second}");
    stage.stop().await;
}

#[tokio::test]
async fn leftovers_of_a_dead_supervisor_are_ended_and_what_people_started_is_not() {
    use std::process::{Command, Stdio};
    let root = tempfile::tempdir().unwrap();
    let dir = BusDir::at(root.path().join("bus"));
    dir.create().unwrap();
    // Leads a group, and is nobody's child here, as what a dead supervisor left.
    let mut shell = Command::new("sh");
    shell.args(["-c", "setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' &"]).stdin(Stdio::null());
    // By a mark that no supervisor looks for it is found again, should this test fail.
    let (elsewhere, instance) = (root.path().join("elsewhere"), crate::bus::new_instance());
    shell.env("PLUGBUS_BUS_DIR", &elsewhere).env("PLUGBUS_INSTANCE", &instance);
    let _end = EndsTree(Tree::marked(&elsewhere, &instance));
    let left: u32 = String::from_utf8(shell.output().unwrap().stdout).unwrap().trim().parse().unwrap();
    let mut by_hand = Command::new("sleep");
    let mut by_hand = Ends(by_hand.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    let card = |name: &str, pid: u32| Card {
        name: name.into(),
        instance: "k3".into(),
        version: String::new(),
        process: ProcessId::of(pid).unwrap(),
        protocol: 1,
        protocol_max: None,
        url: dir.endpoint(name, "k3").unwrap().to_string(),
        methods: vec![],
    };
    dir.publish(&card("left", left)).unwrap();
    dir.publish(&card("hand", by_hand.id())).unwrap();
    let mut record = startup::InstanceRecord::planned("left".into(), "k3".into());
    record.process = card("left", left).process;
    record.write(&dir).unwrap();
    let supervisor = Supervisor::start(spec(dir.path(), vec![])).await.unwrap();
    let end = Instant::now() + LONG;
    while record.process.is_alive() || fs::read_dir(dir.state_dir()).unwrap().count() > 0 {
        assert!(Instant::now() < end, "it is still there");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let names: Vec<_> =
        dir.cards().unwrap().into_iter().map(|card| card.name).filter(|name| name != "supervisor").collect();
    assert_eq!(names, ["hand"]);
    assert_eq!(by_hand.try_wait().unwrap(), None);
    supervisor.stop().await;
    assert_eq!(fs::read_dir(dir.state_dir()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_dropped_handle_stops_everything() {
    let stage = Stage::new(vec![acting("text", "work")]).await;
    stage.supervisor.wait_ready(LONG).await.unwrap();
    let id = stage.cards()[0].process;
    let dir = stage.dir();
    drop(stage.supervisor);
    let end = Instant::now() + LONG;
    while dir.lock().is_err() {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!id.is_alive());
}

#[tokio::test]
async fn calls_find_their_plugin_again_after_a_kill_and_a_freeze() {
    let stage = Stage::new(vec![acting("text", "serve")]).await;
    let bus = Bus::at(stage.supervisor.directory()).unwrap();
    // Made while the plugin is still starting: the supervisor says when it is ready.
    let first: u32 = bus.call("text.pid", &()).await.unwrap();
    let process = ProcessId::of(first).unwrap();
    signal(first, rustix::process::Signal::KILL);
    while process.is_alive() {
        tokio::task::yield_now().await;
    }
    let second: u32 = loop {
        match bus.call("pid", &()).await {
            // It was sent before the broken connection was seen, and may have run: only the caller may repeat it.
            Err(CallError::Died { .. }) => {}
            called => break called.unwrap(),
        }
    };
    assert_ne!(first, second);
    signal(second, rustix::process::Signal::STOP);
    stage.until("text", |plugin| plugin.pid != Some(second) && plugin.pid.is_some()).await;
    let third: u32 = bus.call("pid", &()).await.unwrap();
    assert_ne!(second, third);
    stage.stop().await;
}

/// Calls the supervisor as any program would: by its card, over its endpoint.
async fn call(dir: &BusDir, method: &str, params: serde_json::Value) -> Result<serde_json::Value, Fault> {
    let card = dir.cards().unwrap().into_iter().find(|card| card.name == "supervisor").unwrap();
    assert!(card.offers(method) && card.process == ProcessId::own());
    let requester = Requester::dial(&card.url.parse().unwrap()).unwrap();
    let request = RequestHead::new(method, LONG).encode(&params).unwrap();
    let reply = loop {
        match requester.request(&request, LONG).await {
            // On a machine that is busy enough, half a second is not enough for a greeting.
            Err(RequestError::NotSent) => {}
            reply => break reply.unwrap(),
        }
    };
    match Reply::decode(&reply).unwrap() {
        Reply::Result(result) => Ok(result.to().unwrap()),
        Reply::Error(fault) => Err(fault),
        Reply::Stream(opened) => panic!("{opened:?}"),
    }
}

#[tokio::test]
async fn its_own_methods_are_ordinary_calls() {
    let stage = Stage::new(vec![acting("text", "work"), plugin("idle", &["sleep", "1000"])]).await;
    let dir = stage.dir();
    let found = call(&dir, "wait", json!({"plugin": "text"})).await.unwrap();
    let ready = stage.until("text", |plugin| plugin.state == UnitState::Ready).await;
    assert_eq!(found, json!({"plugin": "text", "instance": ready.instance}));
    let status: StatusReport = serde_json::from_value(call(&dir, "status", json!(null)).await.unwrap()).unwrap();
    assert_eq!(status.plugins.iter().map(|plugin| plugin.name.as_str()).collect::<Vec<_>>(), ["text", "idle"]);
    let survey: SurveyReport = serde_json::from_value(call(&dir, "survey", json!({})).await.unwrap()).unwrap();
    assert_eq!(survey.answers.iter().map(|answer| Some(answer.pid)).collect::<Vec<_>>(), [ready.pid]);
    let wrong = call(&dir, "wait", json!({"plugin": "texd"})).await.unwrap_err();
    assert_eq!((wrong.code, wrong.message.contains("did you mean text?")), (Code::Failed, true), "{wrong}");
    let data: serde_json::Value = serde_json::from_str(&wrong.data_json().unwrap()).unwrap();
    assert_eq!(data, json!({"kind": "unknown_plugin", "plugin": "texd", "nearest": ["text"]}));
    let stopped = call(&dir, "stop", json!(null)).await.unwrap();
    assert_eq!(stopped, json!({"pid": std::process::id(), "stopping": 2}));
    stage.supervisor.stopped().await;
    assert!(dir.cards().unwrap().is_empty());
    assert!(matches!(stage.supervisor.status().await, Err(SupervisorError::Stopped)));
}

#[tokio::test]
async fn a_call_to_wait_lasts_through_a_restart() {
    let stage = Stage::new(vec![acting("text", "work")]).await;
    stage.supervisor.wait_ready(LONG).await.unwrap();
    let before = stage.cards()[0].clone();
    signal(before.process.pid, rustix::process::Signal::KILL);
    let query = json!({"method": "unknown", "plugin": "text", "not": [before.instance]});
    let refused = call(&stage.dir(), "wait", query).await.unwrap_err();
    assert!(refused.message.starts_with("no supervised plugin has a method"), "{refused}");
    let found = call(&stage.dir(), "wait", json!({"plugin": "text", "not": [before.instance]})).await.unwrap();
    assert_eq!(found["instance"], json!(stage.cards()[0].instance));
    assert_ne!(found["instance"], json!(before.instance));
    stage.stop().await;
}

#[tokio::test]
async fn its_builtin_stop_stops_everything() {
    let stage = Stage::new(vec![acting("text", "work")]).await;
    stage.supervisor.wait_ready(LONG).await.unwrap();
    let process = stage.cards()[0].process;
    let card = stage.dir().cards().unwrap().into_iter().find(|card| card.name == "supervisor").unwrap();
    let requester = Requester::dial(&card.url.parse().unwrap()).unwrap();
    let request = RequestHead::new("$stop", LONG).encode(&()).unwrap();
    requester.request(&request, LONG).await.unwrap();
    stage.supervisor.stopped().await;
    assert!(!process.is_alive());
}

#[test]
fn a_runtime_that_ends_first_takes_every_plugin_with_it() {
    for worker_threads in [0, 2] {
        let mut builder = match worker_threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.enable_all().build().unwrap();
        let stage = runtime.block_on(async {
            let stage = Stage::new(vec![acting("text", "work")]).await;
            stage.supervisor.wait_ready(LONG).await.unwrap();
            stage
        });
        let process = stage.cards()[0].process;
        drop(runtime);
        let end = Instant::now() + LONG;
        while process.is_alive() {
            assert!(Instant::now() < end, "it lives on");
            std::thread::yield_now();
        }
    }
}
