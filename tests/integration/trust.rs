//! What runs is what was checked: pinned or signed programs, what changes of them, and what becomes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Bench, PATIENT, eventually, plugin};

const TEXT: &str = env!("CARGO_BIN_EXE_plugbus-text");

/// A bench with a plugin of its own file, which a supervisor runs.
fn running(more: &str) -> Bench {
    let bench = Bench::empty();
    fs::copy(TEXT, bench.path().join("own-text")).unwrap();
    start(bench, more, &[])
}

fn start(mut bench: Bench, more: &str, arguments: &[&str]) -> Bench {
    let config = bench.write("plugbus.toml", &(PATIENT.to_owned() + &plugin("text", &["./own-text"], "") + more));
    let said = fs::File::options().create(true).append(true).open(bench.path().join("supervise.log")).unwrap();
    let mut command = bench.plugbus(&[&["supervise", "-c", &config], arguments].concat());
    bench.start(command.stderr(said));
    bench
}

/// One byte at the end of a program, which changes nothing of what it does.
fn change(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.push(b'\n');
    let draft = path.with_extension("draft");
    fs::write(&draft, bytes).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(draft, path).unwrap();
}

fn events(bench: &Bench) -> Vec<Value> {
    let log = fs::read_to_string(bench.path().join("default/log/supervisor.events.jsonl")).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn told(bench: &Bench, words: &str) -> bool {
    events(bench).iter().any(|event| event["reason"].as_str().unwrap().contains(words))
}

#[track_caller]
fn until_state(bench: &Bench, state: &str) -> Value {
    eventually(state, || Some(bench.plugin()).filter(|plugin| plugin["state"] == state))
}

#[test]
fn what_was_pinned_runs_on_what_has_changed_is_refused_and_what_is_accepted_runs() {
    let bench = running("");
    let first = until_state(&bench, "ready");
    assert!(first["trust"].as_str().unwrap().starts_with("locked, pinned at 2"), "{first}");
    assert!(told(&bench, "started for the first time; pinned: "));
    let lock = fs::read_to_string(bench.path().join("plugbus.lock")).unwrap();
    assert!(lock.lines().any(|line| line.starts_with("text 2") && line.ends_with(" own-text")), "{lock}");
    bench.expect(&["lock", "--check"], 0);

    // Asked to restart it, the supervisor looks first: the running copy goes on.
    change(&bench.path().join("own-text"));
    for order in [&["restart", "text"][..], &["restart", "--rolling", "text"]] {
        let refused = bench.expect(order, 1);
        assert!(refused.stderr.contains("not restarted, and what runs goes on: text: refused: "), "{refused:?}");
        assert!(refused.stderr.contains("own-text has changed since it was pinned at 2"), "{refused:?}");
        assert!(refused.stderr.contains("`plugbus lock text` accepts it"), "{refused:?}");
    }
    let still = bench.plugin();
    assert_eq!((&still["pid"], &still["state"], &still["restarts"]), (&first["pid"], &first["state"], &0.into()));
    assert!(bench.stdout(&["status"]).contains("would not be started again: refused: "));
    assert!(bench.expect(&["lock", "--check"], 1).stdout.contains("has changed since it was pinned at"));

    // Killed, it is not started again, and not tried in a loop.
    let pid = still["pid"].as_u64().unwrap();
    crate::support::send(rustix::process::Signal::KILL, pid);
    let failed = until_state(&bench, "failed");
    assert!(failed["reason"].as_str().unwrap().starts_with("refused: "), "{failed}");
    assert!(bench.stdout(&["status"]).contains("accepts it"));
    let starts = || events(&bench).iter().filter(|event| event["to"] == "starting").count();
    let before = starts();
    assert_eq!(bench.expect(&["start", "text"], 1).code, 1);
    assert_eq!(starts(), before + 1, "one try an order, and no other");

    // Accepted, it starts by itself.
    let accepted = bench.json(&["lock", "text"]);
    assert_eq!((&accepted["plugins"][0]["plugin"], &accepted["started"][0]), (&"text".into(), &"text".into()));
    let ready = until_state(&bench, "ready");
    assert_eq!(ready["refusal"], Value::Null);
    bench.expect(&["restart", "text"], 0);
    bench.expect(&["lock", "--check"], 0);
}

#[test]
fn a_refusal_is_for_one_plugin_and_a_reload_ends_nobody_for_it() {
    let other = plugin("other", &[TEXT], "");
    let bench = running(&other);
    bench.expect(&["start", "*"], 0);
    let pid = bench.plugin()["pid"].clone();
    change(&bench.path().join("own-text"));
    let config = PATIENT.to_owned() + &plugin("text", &["./own-text"], "env.A = 'b'") + &other;
    bench.write("plugbus.toml", &config);
    bench.expect(&["reload"], 0);
    eventually("the event is told", || told(&bench, "not restarted, and goes on as it is: refused: ").then_some(()));
    assert_eq!(bench.plugin()["pid"], pid);
    bench.expect(&["restart", "other"], 0);
    bench.expect(&["restart", "*"], 1);
    let unknown = bench.expect(&["lock", "txt"], 4);
    assert!(unknown.stderr.contains("text"), "{unknown:?}");
}

#[test]
fn a_script_and_what_it_imports_are_judged_like_a_program() {
    let mut bench = Bench::empty();
    fs::create_dir(bench.path().join("lib")).unwrap();
    let script = bench.write("plugin.sh", &format!("#!/bin/sh -u\n. \"${{0%/*}}/lib/part.sh\"\nexec {TEXT}\n"));
    bench.write("lib/part.sh", "echo \"$0 $1\" > ran\n");
    // By its interpreter, then by its own first line.
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let config = PATIENT.to_owned()
        + &plugin("text", &["sh", &script, "a"], "files = ['lib']")
        + &plugin("direct", &[&script, "b"], "files = ['lib']\nenabled = false");
    let config = bench.write("plugbus.toml", &config);
    let mut command = bench.plugbus(&["supervise", "-c", &config]);
    bench.start(command.stderr(Stdio::null()));
    until_state(&bench, "ready");
    let lock = fs::read_to_string(bench.path().join("plugbus.lock")).unwrap();
    let files: Vec<_> = lock.lines().filter(|line| line.starts_with("text ")).collect();
    assert!(files.len() == 2 && files[0].ends_with(" lib/part.sh") && files[1].ends_with(" plugin.sh"), "{lock}");
    // What is read is a copy of what was checked, whatever becomes of the originals, and it goes with the process.
    let state = bench.path().join("default/state");
    let ran = || fs::read_to_string(bench.path().join("ran")).unwrap();
    assert!(ran().starts_with(&format!("{}/text.", state.display())) && ran().ends_with(".files/plugin.sh a\n"));
    bench.expect(&["start", "direct"], 0);
    assert!(ran().contains("/direct.") && ran().ends_with(".files/plugin.sh b\n"), "{}", ran());
    bench.expect(&["stop", "direct"], 0);
    let copies = || fs::read_dir(&state).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    eventually("the copies of one are gone", || (copies() == 1).then_some(()));
    for file in ["lib/part.sh", "plugin.sh"] {
        let before = fs::read_to_string(bench.path().join(file)).unwrap();
        bench.write(file, &(before.clone() + "# changed\n"));
        let refused = bench.expect(&["restart", "text"], 1);
        assert!(refused.stderr.contains(&format!("{file} has changed since it was pinned")), "{refused:?}");
        bench.write(file, &before);
        bench.expect(&["restart", "text"], 0);
    }
    bench.write("lib/new.sh", "");
    assert!(bench.expect(&["restart", "text"], 1).stderr.contains("lib/new.sh is new"));
}

#[test]
fn with_dev_a_change_is_accepted_and_what_was_rebuilt_runs() {
    let bench = Bench::empty();
    fs::copy(TEXT, bench.path().join("own-text")).unwrap();
    let bench = start(bench, "", &["--dev"]);
    let first = until_state(&bench, "ready");
    change(&bench.path().join("own-text"));
    eventually("it is restarted by itself", || {
        let plugin = bench.plugin();
        (plugin["state"] == "ready" && plugin["pid"] != first["pid"]).then_some(())
    });
    assert!(told(&bench, "its files were made anew; restarted, for --dev"));
    assert!(told(&bench, "accepted, for --dev: "));
    bench.expect(&["lock", "--check"], 0);
    // What an operator has stopped stays stopped.
    bench.expect(&["stop", "text"], 0);
    change(&bench.path().join("own-text"));
    bench.expect(&["start", "text"], 0);
}

#[test]
fn a_file_that_others_may_write_is_refused_whatever_it_holds() {
    let bench = running("");
    until_state(&bench, "ready");
    fs::set_permissions(bench.path().join("own-text"), fs::Permissions::from_mode(0o757)).unwrap();
    let refused = bench.expect(&["restart", "text"], 1);
    assert!(refused.stderr.contains("own-text may be changed by anybody (mode 0757): chmod o-w "), "{refused:?}");
    fs::set_permissions(bench.path().join("own-text"), fs::Permissions::from_mode(0o755)).unwrap();
    bench.expect(&["restart", "text"], 0);
    assert!(bench.expect(&["lock"], 0).stdout.contains("1 as pinned"));
}

#[test]
fn a_broken_lock_file_refuses_and_lock_writes_it_anew() {
    let bench = running("");
    let before = until_state(&bench, "ready");
    let lock = bench.path().join("plugbus.lock");
    let text = fs::read_to_string(&lock).unwrap();
    fs::write(&lock, &text[..text.len() - 5]).unwrap();
    let refused = bench.expect(&["restart", "text"], 1);
    assert!(refused.stderr.contains("plugbus.lock: was cut off"), "{refused:?}");
    assert_eq!(bench.plugin()["pid"], before["pid"]);
    assert!(bench.expect(&["lock", "--check"], 1).stderr.contains("was cut off"));
    assert!(bench.expect(&["lock", "text"], 1).stderr.contains("was cut off"), "only for all of them");
    assert!(bench.expect(&["lock"], 0).stderr.contains("it is written anew"));
    bench.expect(&["restart", "text"], 0);
}

/// Debian's minisign, which `scripts/setup.sh` installs.
fn minisign(bench: &Bench, arguments: &[&str]) -> bool {
    let mut command = Command::new("minisign");
    let ended = command.args(arguments).current_dir(bench.path()).stdin(Stdio::null()).output();
    ended.expect("minisign is installed: scripts/setup.sh").status.success()
}

#[test]
fn minisign_verifies_what_was_signed_here_and_the_other_way_round() {
    let bench = Bench::empty();
    bench.write("program", "some bytes");
    bench.expect(&["keygen", "--no-password"], 0);
    assert_eq!(fs::metadata(bench.path().join("plugbus.key")).unwrap().permissions().mode() & 0o777, 0o600);
    bench.expect(&["keygen", "--no-password"], 2);
    bench.expect(&["sign", "program"], 0);
    assert!(minisign(&bench, &["-V", "-p", "plugbus.pub", "-m", "program"]));
    assert!(bench.stdout(&["verify", "-p", "plugbus.pub", "program"]).contains("is signed: timestamp:"));
    bench.write("program", "other bytes");
    assert!(!minisign(&bench, &["-V", "-p", "plugbus.pub", "-m", "program"]));
    assert!(bench.expect(&["verify", "-p", "plugbus.pub", "program"], 1).stdout.contains("is not what was signed"));

    // Its key, its signature.
    assert!(minisign(&bench, &["-G", "-W", "-p", "their.pub", "-s", "their.key"]));
    assert!(minisign(&bench, &["-S", "-s", "their.key", "-m", "program"]));
    bench.expect(&["verify", "-p", "their.pub", "program"], 0);
    bench.expect(&["verify", "-p", "plugbus.pub", "program"], 1);
    // Its key, our signature; our key, its signature.
    bench.expect(&["sign", "-s", "their.key", "program"], 0);
    assert!(minisign(&bench, &["-V", "-p", "their.pub", "-m", "program"]));
    assert!(minisign(&bench, &["-S", "-s", "plugbus.key", "-m", "program"]));
    bench.expect(&["verify", "-p", "plugbus.pub", "program"], 0);
    // A secret key in the place of a public one, and the other way round.
    assert!(bench.expect(&["verify", "-p", "plugbus.key", "program"], 2).stderr.contains("is a secret key"));
    assert!(bench.expect(&["sign", "-s", "plugbus.pub", "program"], 1).stderr.contains("is no secret key"));
}

#[test]
fn a_key_with_a_password_wants_it() {
    let bench = Bench::empty();
    bench.write("program", "some bytes");
    let asked = bench.expect(&["keygen"], 2);
    assert!(asked.stderr.contains("--password-file"), "{asked:?}");
    assert_eq!(bench.pipe(b"correct horse\n", &["keygen", "--password-file", "-"]).code, 0);
    assert_eq!(bench.pipe(b"battery\n", &["sign", "--password-file", "-", "program"]).code, 1);
    assert!(!bench.path().join("program.minisig").exists());
    assert_eq!(bench.pipe(b"correct horse\n", &["sign", "--password-file", "-", "program"]).code, 0);
    assert!(minisign(&bench, &["-V", "-p", "plugbus.pub", "-m", "program"]));
}

#[test]
fn with_signed_a_signature_is_what_counts() {
    let mut bench = Bench::empty();
    fs::copy(TEXT, bench.path().join("own-text")).unwrap();
    bench.expect(&["keygen", "--no-password"], 0);
    let config = "[trust]\nkeys = ['plugbus.pub']\n".to_owned()
        + PATIENT
        + &plugin("text", &["./own-text"], "trust = 'signed'");
    let config = bench.write("plugbus.toml", &config);
    let mut command = bench.plugbus(&["supervise", "-c", &config]);
    bench.start(command.stderr(Stdio::null()));
    let failed = until_state(&bench, "failed");
    assert!(failed["reason"].as_str().unwrap().contains("own-text has no signature: "), "{failed}");
    bench.expect(&["sign", "own-text"], 0);
    bench.expect(&["start", "text"], 0);
    let ready = until_state(&bench, "ready");
    assert_eq!(ready["trust"], "signed");
    change(&bench.path().join("own-text"));
    let refused = bench.expect(&["restart", "text"], 1);
    assert!(refused.stderr.contains("own-text is not what was signed: it was changed"), "{refused:?}");
    assert_eq!(bench.plugin()["pid"], ready["pid"]);
    // Nothing has to be accepted of what was signed anew.
    bench.expect(&["sign", "own-text"], 0);
    bench.expect(&["restart", "text"], 0);
    assert!(!bench.path().join("plugbus.lock").exists());
}

#[test]
fn keys_that_are_none_and_signatures_that_nobody_checks_are_problems_of_the_configuration() {
    let bench = Bench::empty();
    bench.expect(&["keygen", "--no-password"], 0);
    let problem = |config: &str| {
        let config = bench.write("plugbus.toml", config);
        bench.expect(&["check", "-c", &config], 3).stderr
    };
    assert!(
        problem("[trust]\nkeys = ['plugbus.key']\n").contains("2:9: trust.keys: \"plugbus.key\" is a secret key")
    );
    assert!(problem("[trust]\nkeys = ['RWQ']\n").contains("is no public key of minisign"));
    assert!(problem("[trust]\nkeys = ['gone.pub']\n").contains("cannot be read: No such file"));
    assert!(problem("[defaults]\ntrust = 'signed'\n").contains("2:9: defaults.trust: \"signed\" needs a key"));
    assert!(problem("[defaults]\ntrust = 'looked'\n").contains("(did you mean \"locked\"?)"));
}

#[test]
fn what_was_added_by_hand_is_pinned_and_can_be_accepted_too() {
    let bench = running("");
    bench.write("other", "#!/bin/sh\nexec \"$TEXT\"\n");
    let other = bench.path().join("other");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    bench.expect(&["add", "hand", "--env", &format!("TEXT={TEXT}"), "--", other.to_str().unwrap()], 0);
    change(&other);
    bench.expect(&["restart", "hand"], 1);
    // Named, it is accepted; without names it is none of those that are not there any more.
    assert!(!bench.stdout(&["lock"]).contains("hand"));
    bench.expect(&["restart", "hand"], 1);
    bench.expect(&["lock", "hand"], 0);
    bench.expect(&["restart", "hand"], 0);
    bench.expect(&["remove", "hand"], 0);
    bench.stdout(&["lock"]);
    assert!(!fs::read_to_string(bench.path().join("plugbus.lock")).unwrap().contains("hand"));
}
