//! G: the configuration.

use std::fs;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use plugbus::config;
use plugbus::supervisor::{ReloadReport, UnitState};
use serde_json::{Value, json};

use crate::Fault;
use crate::act;
use crate::figure::{Figure, Size};
use crate::ground::{Holdings, LONG};
use crate::support::{Stage, eventually};

pub(crate) const FAULTS: &[Fault] = &[
    ("G1", "configurations with random damage", damaged),
    ("G2", "a reload of many plugins that changes four", exact),
    ("G3", "reloads as fast as they come", flood),
    ("G4", "configurations that cannot hold", impossible),
    ("G5", "stopped by hand, then a reload and a new supervisor", stays_stopped),
];

fn reload(stage: &Stage) -> Result<ReloadReport, plugbus::host::CallError> {
    stage.caller().request("reload").plugin("supervisor").timeout(LONG).call(&())
}

fn damaged(size: Size) -> Vec<Figure> {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("plugbus.toml");
    let whole = config::DEFAULTS.replace("#[plugins", "[plugins").replace("\n#command", "\ncommand");
    let mut dice = fastrand::Rng::with_seed(3);
    let (mut panics, mut unplaced) = (0, 0);
    let times = size.pick(100_000, 500);
    for _ in 0..times {
        let mut text = whole.clone().into_bytes();
        for _ in 0..dice.usize(1..6) {
            if text.is_empty() {
                break;
            }
            let at = dice.usize(0..text.len());
            match dice.u8(0..4) {
                0 => text[at] = dice.u8(..),
                1 => drop(text.remove(at)),
                2 => text.insert(at, dice.u8(32..127)),
                _ => text.truncate(at.max(1)),
            }
        }
        fs::write(&file, &text).unwrap();
        match catch_unwind(|| config::load(&[&file])) {
            Err(_) => panics += 1,
            Ok(Err(error)) => unplaced += usize::from(!error.to_string().contains("plugbus.toml")),
            Ok(Ok(_)) => {}
        }
    }
    let stage = Stage::spawn(&act::plugin("target", "serve", ""));
    let before = stage.ready("target");
    let good = fs::read_to_string(stage.scratch().join("plugbus.toml")).unwrap();
    let mut touched = 0;
    for _ in 0..size.pick(200, 10) {
        let cut = dice.usize(1..good.len() - 1);
        fs::write(stage.scratch().join("plugbus.toml"), good[..cut].to_owned() + "\n=broken").unwrap();
        assert!(reload(&stage).is_err());
        touched += usize::from(stage.ready("target").pid != before.pid);
    }
    vec![
        Figure::none("panicked", panics, times),
        Figure::none("errors did not name the file", unplaced, times),
        Figure::none("bad reloads touched what runs", touched, size.pick(200, 10)),
    ]
}

fn exact(size: Size) -> Vec<Figure> {
    let count = size.pick(100, 12);
    let section = |nth: usize, more: &str| act::plugin(&format!("target-{nth}"), "serve", more);
    let old: String = (0..count).map(|nth| section(nth, "")).collect();
    let stage = Stage::spawn(&old);
    let ready = || stage.status().plugins.iter().all(|plugin| plugin.state == UnitState::Ready);
    eventually("all are ready", || ready().then_some(()));
    let before = stage.status().plugins;
    let new: String = (0..=count)
        .filter(|nth| *nth != 1)
        .map(|nth| match nth {
            2 => section(nth, "stop_grace = '9s'"),
            3 => section(nth, "env.CHANGED = '1'"),
            _ => section(nth, ""),
        })
        .collect();
    fs::write(stage.scratch().join("plugbus.toml"), new).unwrap();
    let report = reload(&stage).unwrap();
    let after = eventually("it is done", || {
        let plugins = stage.status().plugins;
        (plugins.len() == count && plugins.iter().all(|plugin| plugin.state == UnitState::Ready)).then_some(plugins)
    });
    let kept =
        after.iter().filter(|now| before.iter().any(|then| (&then.name, then.pid) == (&now.name, now.pid))).count();
    vec![Figure::new(
        format!("{report}; {kept} of {count} processes go on"),
        format!("1 added, 1 removed, 1 restarted, 1 changed; {} go on", count - 2),
        (report.added.len(), report.removed.len(), report.restarted.len(), report.changed.len()) == (1, 1, 1, 1)
            && kept == count - 2,
    )]
}

fn flood(size: Size) -> Vec<Figure> {
    let stage = Stage::spawn(&act::plugin("target", "serve", ""));
    let target = stage.ready("target");
    reload(&stage).unwrap();
    let before = Holdings::of(&stage);
    let callers = 20;
    let each = size.pick(100, 3);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            let stage = &stage;
            scope.spawn(move || {
                for _ in 0..each {
                    reload(stage).unwrap();
                }
            });
        }
    });
    let rate = f64::from(callers * each) / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let _: Value = stage.caller().call("supervisor.status", &()).unwrap();
    let status = begun.elapsed();
    let after = eventually("what was held is let go", || {
        Some(Holdings::of(&stage)).filter(|after| after.descriptors <= before.descriptors + 2)
    });
    vec![Figure::new(
        format!(
            "{} reloads ({rate:.0}/s), status in {} ms, descriptors {} → {}",
            callers * each,
            status.as_millis(),
            before.descriptors,
            after.descriptors
        ),
        "limited, and nothing grows",
        stage.ready("target").pid == target.pid && status < Duration::from_secs(1),
    )]
}

fn impossible(_: Size) -> Vec<Figure> {
    let own = "command = ['sleep', '1']";
    let cases = [
        ("a cycle", format!("[plugins.a]\n{own}\nafter = ['b']\n[plugins.b]\n{own}\nrequires = ['a']\n"), "circle"),
        (
            "a missing dependency",
            format!("[plugins.a]\n{own}\nrequires = ['databse']\n[plugins.database]\n{own}\n"),
            "did you mean \"database\"?",
        ),
        ("a duplicate name", format!("[plugins.a]\n{own}\n[plugins.a]\n{own}\n"), "there twice"),
        ("the supervisor's own name", format!("[plugins.supervisor]\n{own}\n"), "supervisor's own name"),
        ("an unknown key", format!("[plugins.a]\n{own}\nretsart = 'never'\n"), "did you mean \"restart\"?"),
    ];
    let scratch = tempfile::tempdir().unwrap();
    let mut taken = 0;
    for (what, text, words) in &cases {
        let file = scratch.path().join("plugbus.toml");
        fs::write(&file, text).unwrap();
        let error = config::load(&[&file]).map_or_else(|error| error.to_string(), |_| "taken".into());
        assert!(error.contains(words), "{what}: {error}");
        taken += usize::from(error == "taken");
    }
    vec![Figure::none("were taken", taken, cases.len())]
}

fn stays_stopped(_: Size) -> Vec<Figure> {
    let config = act::plugin("target", "serve", "") + &act::plugin("other", "serve", "");
    let mut stage = Stage::spawn(&config);
    stage.ready("other");
    let names = json!({"names": ["target"]});
    let _: Value = stage.caller().request("stop").plugin("supervisor").timeout(LONG).call(&names).unwrap();
    reload(&stage).unwrap();
    let after_reload = stage.plugin("target").state;
    stage.kill_supervisor();
    stage.supervise_apart(&config, |command| command);
    stage.ready("other");
    let after_death = stage.plugin("target").state;
    vec![Figure::new(
        format!("after a reload {after_reload}, after kill -9 of the supervisor {after_death}"),
        "stopped, stopped",
        (after_reload, after_death) == (UnitState::Stopped, UnitState::Stopped),
    )]
}
