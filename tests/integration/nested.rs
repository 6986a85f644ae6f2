//! Calls that calls make: plugins call each other and the host that called them.

use plugbus::host::{Bus, CallError};
use plugbus::plugin::Plugin;
use plugbus::wire::{Code, MAX_CALL_DEPTH, Raw, Reply, RequestHead, Trail};
use serde_json::json;

use crate::support::{LONG, PATIENT, RawCaller, Stage, eventually, noted, sdk_plugin_of, with_calls};

/// Two plugins that run one call at a time each.
fn pair() -> Stage {
    let stage = Stage::start(&format!("{PATIENT}{}{}", sdk_plugin_of("a", "1,1", ""), sdk_plugin_of("b", "1,1", "")));
    stage.ready("a");
    stage.ready("b");
    stage
}

#[test]
fn a_nested_call_has_what_is_left_of_the_outer_ones_time() {
    let stage = pair();
    let bus = stage.caller();
    for relay in ["a.relay", "a.relay_async"] {
        let left: u64 = bus.request(relay).timeout(LONG).call(&("b.left", ())).unwrap();
        assert!(left > 5_000 && left <= 30_000, "{relay}: {left} ms, and not the five seconds of a call of its own");
    }
}

#[test]
fn a_call_that_comes_back_to_its_caller_does_not_wait_for_it() {
    let stage = pair();
    let bus = stage.caller();
    for method in ["bounce", "bounce_async"] {
        // To itself, and to and fro between two that run one call each.
        for path in [vec!["a"; 8], vec!["a", "b", "a", "b", "a", "b"], vec!["b", "a"]] {
            let path: Vec<String> = path.iter().map(|plugin| format!("{plugin}.{method}")).collect();
            let first = format!("a.{method}");
            let depth: u32 = bus.request(&first).timeout(LONG).call(&path).unwrap();
            assert_eq!(depth as usize, path.len(), "{first} {path:?}");
        }
    }
}

#[test]
fn calls_without_end_are_stopped_at_a_depth() {
    let stage = pair();
    let bus = stage.caller();
    let endless: Result<(), _> = bus.request("a.endless").timeout(LONG).call(&("a.endless", "b.endless"));
    let said = endless.unwrap_err().to_string();
    assert!(said.contains("the call is nested in more than 16 others"), "{said}");

    // A plugin that does not count gets no further with one that does.
    let trail = (0..=MAX_CALL_DEPTH).fold(Trail::default(), |trail, _| trail.nested("x"));
    let refused = bus.request("a.left").trail(&trail).call::<u64, _>(&()).unwrap_err();
    assert!(matches!(refused, CallError::TooDeep) && !refused.may_have_run(), "{refused}");
    let meta = plugbus::wire::to_vec(&json!({"depth": MAX_CALL_DEPTH + 1})).unwrap();
    let head = RequestHead { meta: Some(Raw::new(&meta).unwrap()), ..RequestHead::new("left", LONG) };
    let card = stage.cards().into_iter().find(|card| card.name == "a").unwrap();
    let socket = stage.bus().endpoint(&card.name, &card.instance).unwrap();
    let reply = RawCaller::connect(socket.path()).unwrap().call(&head.encode(&()).unwrap()).unwrap();
    let Reply::Error(fault) = Reply::decode(&reply).unwrap() else { panic!("it ran") };
    assert_eq!(fault.code, Code::BadMessage, "{fault}");
}

#[test]
fn who_cancels_a_call_cancels_what_it_has_called() {
    let stage = pair();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (relay, hold) in [("a.relay", "b.hold"), ("a.relay_async", "b.hold_async"), ("a.relay", "b.hold_async")] {
        let notes = stage.scratch().join(format!("{relay}-{hold}"));
        let bus = Bus::at(stage.bus().path()).unwrap();
        let params = (hold, notes.clone());
        let calling = runtime.spawn(async move { bus.request(relay).timeout(LONG).call::<(), _>(&params).await });
        eventually("the inner one runs", || (!noted(&notes).is_empty()).then_some(()));
        calling.abort();
        eventually("the inner one is told", || (noted(&notes).len() > 1).then_some(()));
        assert_eq!(noted(&notes), ["begun", "cancelled"], "{relay} {hold}");
    }
    // Neither is left with a call that takes its only turn.
    let depth: u32 = stage.caller().request("a.bounce").timeout(LONG).call(&["b.bounce"]).unwrap();
    assert_eq!(depth, 1);
}

#[test]
fn a_host_has_methods_that_its_plugins_call() {
    let stage = pair();
    let bus = stage.caller();
    let host = |name: &'static str| {
        let answer = move |text: String| Ok::<_, plugbus::plugin::Failure>(format!("{name} has heard {text}"));
        Plugin::new("host", "1.0.0").concurrency(1).method("answer", "Says who it is.", answer)
    };
    let first = with_calls(host("first")).join_blocking(&bus).unwrap();
    let second = with_calls(host("second")).join_blocking(&bus).unwrap();
    assert_ne!(first.instance(), second.instance());
    for (own, expected) in [(&first, "first has heard you"), (&second, "second has heard you")] {
        // By its own instance, whoever else has that name.
        let request = own.bus().request("a.ask_caller").timeout(LONG);
        assert_eq!(request.call::<String, _>(&("answer", "you")).unwrap(), expected);
    }
    drop(second);
    assert_eq!(bus.call::<String, _>("host.answer", "me").unwrap(), "first has heard me");
    // Host, plugin, host, plugin; each of them one call at a time.
    let path = ["a.bounce", "host.bounce", "a.bounce"];
    assert_eq!(first.bus().request("host.bounce").timeout(LONG).call::<u32, _>(&path).unwrap(), 4);
    drop(first);
    let gone = bus.call::<String, _>("host.answer", "me").unwrap_err();
    assert!(matches!(gone, CallError::NoSuchPlugin { .. }), "{gone}");
}

#[test]
fn a_host_on_a_runtime_leaves_when_its_calls_are_done() {
    let stage = pair();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bus = Bus::at(stage.bus().path()).unwrap();
    runtime.block_on(async {
        let joined = with_calls(Plugin::new("host", "1.0.0")).join(&bus).unwrap();
        let called: u32 = joined.bus().call("b.bounce", &["host.bounce"]).await.unwrap();
        assert_eq!(called, 2);
        joined.leave().await;
        assert!(bus.plugins().unwrap().iter().all(|card| card.name != "host"));
    });
}
