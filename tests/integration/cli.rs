//! The command `plugbus` as people and scripts meet it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;

use crate::support::{Bench, TEXT, eventually, exit_code, send};

#[test]
fn a_text_prints_bare_and_anything_else_as_json() {
    let bus = Bench::with_text();
    assert_eq!(bus.stdout(&["call", "revert", "Live on time, emit no evil"]), "live on time ,emit no eviL\n");
    assert_eq!(bus.stdout(&["call", "text.revert", "-o", "json", "a\"b"]), "\"b\\\"a\"\n");
    let packed = bus.plugbus(&["call", "count", "a b", "--output", "msgpack"]).output().unwrap().stdout;
    assert_eq!(packed, b"\x83\xa9graphemes\x03\xa5words\x02\xa5lines\x01");
    assert_eq!(bus.stdout(&["call", "count", "a b"]), "{\"graphemes\": 3, \"words\": 2, \"lines\": 1}\n");
    assert_eq!(bus.stdout(&["call", "text.$ping"]), "");
    assert_eq!(bus.stdout(&["call", "text.$ping", "-o", "json"]), "null\n");
}

#[test]
fn arguments_are_what_the_method_takes() {
    let bus = Bench::with_text();
    let lines = "[\"one two\", \"three\"]\n";
    let object = r#"{"text": "one two three", "width": 7}"#;
    assert_eq!(bus.stdout(&["call", "wrap", "text=one two three", "width=7"]), lines);
    assert_eq!(bus.stdout(&["call", "wrap", object]), lines);
    assert_eq!(bus.stdout(&["call", "--json", "wrap", object]), lines);
    assert_eq!(bus.stdout(&["call", "revert", "12"]), "21\n");
    assert_eq!(bus.stdout(&["call", "--json", "revert", "\"12\""]), "21\n");
}

#[test]
fn a_dash_reads_standard_input() {
    let bus = Bench::with_text();
    let reverted = bus.pipe("noe\u{308}l\n".as_bytes(), &["call", "revert", "-"]);
    assert_eq!((reverted.code, reverted.stdout.as_str()), (0, "le\u{308}on\n"), "{reverted:?}");
    let wrapped = bus.pipe(b"one two\n", &["call", "wrap", "width=3", "text=-"]);
    assert_eq!(wrapped.stdout, "[\"one\", \"two\"]\n", "{wrapped:?}");
    let json = bus.pipe(b"{\"width\": 3,\n \"text\": \"a b\"}\n", &["call", "--json", "wrap", "-"]);
    assert_eq!(json.stdout, "[\"a b\"]\n", "{json:?}");
}

#[test]
fn no_bus_says_how_to_start_one() {
    let bus = Bench::empty();
    for args in [&["call", "revert", "x"][..], &["status"], &["survey"], &["describe"]] {
        let ran = bus.expect(args, 5);
        assert!(ran.stderr.contains("plugbus supervise"), "{args:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[test]
fn what_does_not_exist_names_the_nearest() {
    let bus = Bench::with_text();
    for (args, meant) in [
        (&["call", "revrt", "x"][..], "did you mean revert?"),
        (&["call", "txt.revert", "x"], "did you mean text?"),
        (&["call", "text.revrt", "x"], "did you mean revert?"),
        (&["describe", "txt"], "did you mean text?"),
        (&["describe", "text.warp"], "did you mean wrap?"),
    ] {
        let ran = bus.expect(args, 4);
        assert!(ran.stderr.contains(meant), "{args:?}: {ran:?}");
    }
}

#[test]
fn mistakes_in_typing_are_usage() {
    let bus = Bench::with_text();
    for args in [
        &["call"][..],
        &["frobnicate"],
        &["--bus", "../x", "status"],
        &["call", "wrap", "just a text"],
        &["call", "wrap", "text=a", "width=wide"],
        &["call", "--json", "revert", "no json"],
        &["call", "revert", "-", "-"],
        &["call", "revert", "x", "--timeout", "soon"],
    ] {
        assert_ne!(bus.expect(args, 2).stderr, "", "{args:?}");
    }
}

#[test]
fn arguments_are_held_against_the_schema_before_anything_is_sent() {
    let bus = Bench::with_text();
    let done = || bus.json(&["survey"])["answers"][0].clone();
    for (args, named) in [
        (&["call", "wrap", "text=a"][..], "width is missing"),
        (&["call", "wrap", "text=a", "width=-1"], "width must be at least 0, not -1"),
        (&["call", "--json", "wrap", r#"{"text": 1, "width": 1}"#], "text must be a text, not 1"),
        (&["call", "text.revert"], "it must be a text, not nothing"),
    ] {
        let ran = bus.expect(args, 2);
        assert!(ran.stderr.contains(named) && ran.stderr.contains("--help"), "{args:?}: {ran:?}");
    }
    assert_eq!((&done()["done"], &done()["failed"]), (&0.into(), &0.into()));
    let sent = bus.expect(&["call", "wrap", "--unchecked", "text=a"], 7);
    assert!(sent.stderr.contains("bad_params"), "{sent:?}");
    let mistyped = bus.expect(&["call", "wrap", "text=a", "width=3", "widht=4"], 0);
    assert!(mistyped.stderr.contains("did you mean width?"), "{mistyped:?}");
}

#[test]
fn a_method_has_help_of_its_own() {
    let bus = Bench::with_text();
    let help = bus.stdout(&["call", "text.wrap", "--help"]);
    assert!(help.contains("text.wrap {text: string, width: integer} -> [string]"), "{help}");
    assert!(help.contains("plugbus call text.wrap text=TEXT width=1"), "{help}");
    for args in [&["call", "--help"][..], &["call", "-h"], &["help", "call"]] {
        let help = bus.stdout(args);
        assert!(help.contains("--unchecked") && help.contains("Examples:"), "{args:?}: {help}");
    }
    bus.expect(&["call", "text.warp", "--help"], 4);
    bus.expect(&["call"], 2);
}

#[test]
fn a_configuration_with_mistakes_is_refused_with_all_of_them() {
    let bus = Bench::empty();
    let bad = bus.write("bad.toml", "[survey]\nmises = 3\n[plugins.a]\ncommand = 7\n");
    for command in ["check", "supervise"] {
        let ran = bus.expect(&[command, "-c", &bad], 3);
        assert!(ran.stderr.contains("bad.toml:2:1") && ran.stderr.contains("did you mean \"misses\"?"), "{ran:?}");
        assert!(ran.stderr.contains("bad.toml:4:"), "{ran:?}");
    }
    let report = bus.run(&["check", "--json", "-c", &bad]);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!((&report["ok"], report["problems"].as_array().unwrap().len()), (&false.into(), 2));
    let good = bus.write("good.toml", TEXT);
    assert_eq!(bus.stdout(&["check", "-c", &good]), "ok: 1 plugin\n");
    assert_eq!(bus.json(&["check", "-c", &good])["plugins"], serde_json::json!(["text"]));
}

#[test]
fn a_configuration_is_judged_by_what_its_plugins_can_do() {
    let bus = Bench::empty();
    let judged = |more: &str| {
        let file = bus.write("judged.toml", &format!("{TEXT}\n{more}"));
        let report = bus.json(&["check", "--security", "-c", &file]);
        let told = bus.stdout(&["check", "--security", "-c", &file]);
        let score = report["security"][0]["score"].as_f64().unwrap();
        assert!(told.contains(&format!("text: {score:.1} of 10\n")), "{told}");
        score
    };
    let scores =
        ["", "[defaults]\nsandbox = 'standard'", "[defaults]\nsandbox = 'strict'\ncapabilities = 'none'"].map(judged);
    assert!(scores[0] > scores[1] && scores[1] > scores[2], "{scores:?}");
}

#[test]
fn the_plugins_own_error_comes_with_its_data() {
    let ran = Bench::with_text().expect(&["call", "wrap", "text=a", "width=0"], 7);
    assert!(ran.stderr.contains("bad_params") && ran.stderr.contains("{\"width\":0}"), "{ran:?}");
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_deadline_that_passes_has_its_code() {
    Bench::with_text().expect(&["call", "slow_revert", "text=a", "ms=60000", "--timeout", "100ms"], 6);
}

#[test]
fn a_plugin_that_dies_during_the_call_has_its_code() {
    let bus = Bench::with_text();
    let mut call = bus.plugbus(&["call", "slow_revert", "text=a", "ms=600000", "--timeout", "10m"]);
    let call = call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = eventually("the call runs", || {
        let survey = bus.json(&["survey"]);
        (survey["answers"][0]["in_flight"] == 1).then(|| survey["answers"][0]["pid"].as_u64().unwrap())
    });
    send(Signal::KILL, pid);
    let ended = call.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(8), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("may have run"), "{ended:?}");
}

#[test]
fn a_second_supervisor_is_refused() {
    let mut bus = Bench::with_text();
    let config = bus.write("again.toml", TEXT);
    let ran = bus.expect(&["supervise", "-c", &config], 1);
    assert!(ran.stderr.contains(&bus.supervisor().id().to_string()), "{ran:?}");
}

#[test]
fn nobody_reading_is_no_error() {
    let bus = Bench::with_text();
    for args in [
        &["call", "revert", "x"][..],
        &["call", "count", "x", "-o", "json"],
        &["status"],
        &["status", "--json"],
        &["status", "--watch"],
        &["survey"],
        &["describe"],
        &["completions", "bash"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran =
            bus.plugbus(args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!((ran.status.code(), ran.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
    }
}

#[test]
fn colours_are_for_those_who_see_them() {
    let bus = Bench::with_text();
    let is_coloured = |args: &[&str], variables: &[(&str, &str)]| {
        let output = bus.plugbus(args).envs(variables.iter().copied()).output().unwrap();
        output.stdout.contains(&0x1b) || output.stderr.contains(&0x1b)
    };
    for args in [&["status"][..], &["survey"], &["describe"], &["call", "nothing"]] {
        assert!(!is_coloured(args, &[]), "{args:?}");
        assert!(is_coloured(&[args, &["--color", "always"]].concat(), &[]), "{args:?}");
        assert!(is_coloured(args, &[("CLICOLOR_FORCE", "1")]), "{args:?}");
        assert!(!is_coloured(args, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), "{args:?}");
    }
}

#[test]
fn status_tells_that_and_why_a_plugin_was_restarted() {
    let bus = Bench::with_text();
    let before = bus.plugin();
    assert_eq!((&before["state"], &before["restarts"]), (&"ready".into(), &0.into()));
    send(Signal::KILL, before["pid"].as_u64().unwrap());
    assert_eq!(bus.stdout(&["call", "count", "", "-o", "json"]), "{\"graphemes\":0,\"words\":0,\"lines\":0}\n");
    let table = eventually("the plugin is back", || {
        let now = bus.plugin();
        (now["state"] == "ready" && now["pid"] != before["pid"]).then(|| bus.stdout(&["status"]))
    });
    assert!(table.contains("killed by SIGKILL"), "{table}");

    let frozen = bus.plugin();
    send(Signal::STOP, frozen["pid"].as_u64().unwrap());
    let table = eventually("the frozen plugin is replaced", || {
        let now = bus.plugin();
        (now["state"] == "ready" && now["pid"] != frozen["pid"]).then(|| bus.stdout(&["status"]))
    });
    assert!(table.contains("missed 2 survey rounds"), "{table}");
    assert_eq!(bus.plugin()["restarts"], 2);
}

#[test]
fn without_a_supervisor_status_shows_what_can_still_be_called() {
    let mut bus = Bench::with_text();
    bus.supervisor().kill().unwrap();
    bus.supervisor().wait().unwrap();
    let table = bus.stdout(&["status"]);
    assert!(table.starts_with("no supervisor") && table.contains("text"), "{table}");
    assert_eq!(bus.plugin()["state"], "unsupervised");
    assert!(bus.expect(&["survey"], 5).stderr.contains("plugbus supervise"));
    assert_eq!(bus.stdout(&["call", "revert", "ab"]), "ba\n");
}

#[test]
fn watching_shows_it_again_and_ends_with_ctrl_c() {
    let bus = Bench::with_text();
    let mut watch = bus.plugbus(&["status", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let status: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(status["plugins"][0]["name"], "text");
    }
    send(Signal::INT, watch.id().into());
    assert_eq!(exit_code(&mut watch), Some(0));
}

#[test]
fn describe_shows_what_a_method_takes() {
    let bus = Bench::with_text();
    let all = bus.stdout(&["describe"]);
    assert!(all.starts_with("text ") && all.contains("  wrap {text: string, width: integer} -> [string]\n"), "{all}");
    assert!(all.contains("  revert_each string... -> string...\n"), "what comes one by one: {all}");
    assert!(all.contains("\nsupervisor "), "{all}");
    let method = bus.json(&["describe", "text.revert"]);
    let method = &method[0]["methods"][0];
    assert_eq!((&method["params"]["type"], &method["result"]["type"]), (&"string".into(), &"string".into()));
    assert_eq!((&method["idempotent"], &method["typical_ms"]), (&true.into(), &1.into()));
    let count = bus.stdout(&["describe", "text.count"]);
    assert!(count.contains("  returns  graphemes  integer from 0\n"), "{count}");
    assert!(count.contains("as good as running it once") && count.contains("takes 1ms as a rule"), "{count}");
}

#[test]
fn the_bus_that_is_named_is_used() {
    let bus = Bench::empty();
    let config = bus.write("plugbus.toml", TEXT);
    let mut supervise = bus.plugbus(&["supervise", "-q", "-c", &config]);
    // A bus named in the environment is meant by every command alike.
    let elsewhere = bus.plugbus(&["survey"]).env("PLUGBUS_BUS", "other").output().unwrap();
    assert_eq!(elsewhere.status.code(), Some(5));
    let mut child = supervise.env("PLUGBUS_BUS", "other").spawn().unwrap();
    let pid = child.id();
    eventually("the other bus is there", || {
        (bus.run(&["--bus", "other", "call", "revert", "ab"]).stdout == "ba\n").then_some(())
    });
    bus.expect(&["call", "revert", "ab"], 5);
    send(Signal::TERM, pid.into());
    assert_eq!(exit_code(&mut child), Some(0));
}
