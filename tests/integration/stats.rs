//! What is counted of calls, and `plugbus stats`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Bench, TEXT, eventually, send};

/// The row of a method.
fn row(stats: &Value, method: &str) -> Value {
    let rows = stats["methods"].as_array().unwrap();
    rows.iter().find(|row| row["method"] == method).unwrap_or_else(|| panic!("no {method} in {stats}")).clone()
}

#[test]
fn methods_are_counted_over_all_instances_or_each() {
    let bench = Bench::supervise(&format!("{TEXT}replicas = 2\n"));
    let cards = || bench.json(&["survey"])["answers"].as_array().unwrap().len();
    eventually("both answer", || (cards() == 2).then_some(()));
    assert_eq!(bench.stdout(&["stats"]), "no method was called yet\n");
    for _ in 0..6 {
        bench.expect(&["call", "text.revert", "ab"], 0);
    }
    bench.expect(&["call", "--unchecked", "--json", "text.revert", "1"], 7);
    bench.expect(&["call", "text.slow_revert", "text=ab", "ms=1"], 0);

    let stats = bench.json(&["stats"]);
    let revert = row(&stats, "revert");
    assert_eq!(
        [&revert["plugin"], &revert["calls"], &revert["done"], &revert["failed"], &revert["codes"]],
        [&json!("text"), &json!(7), &json!(6), &json!(1), &json!({"bad_params": 1})]
    );
    let counted: u64 = revert["buckets"].as_array().unwrap().iter().map(|bucket| bucket[1].as_u64().unwrap()).sum();
    assert_eq!(counted, 7);
    let times = ["p50_us", "p90_us", "p99_us", "max_us", "sum_us"].map(|name| revert[name].as_u64().unwrap());
    assert!(times.is_sorted(), "{times:?}");
    assert!(row(&stats, "slow_revert")["p50_us"].as_u64().unwrap() >= 1000, "{stats}");
    assert_eq!(stats["missing"], json!([]));

    let each = bench.json(&["stats", "text", "--each"]);
    let rows: Vec<_> = each["methods"].as_array().unwrap().iter().filter(|row| row["method"] == "revert").collect();
    let calls: u64 = rows.iter().map(|row| row["calls"].as_u64().unwrap()).sum();
    assert!(rows.iter().all(|row| row["instance"].is_string()) && calls == 7, "{each}");

    let table = bench.stdout(&["stats"]);
    let line = table.lines().find(|line| line.starts_with("text.revert ")).expect("a line for it");
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!(
        (&cells[1..4], &cells[cells.len() - 2..]),
        (&["7", "1", "-"][..], &["bad_params", "1"][..]),
        "{table}"
    );
    let wrong = bench.expect(&["stats", "txt"], 4);
    assert!(wrong.stderr.contains("did you mean text?"), "{wrong:?}");
}

#[test]
fn watched_it_says_how_many_there_were() {
    let bench = Bench::with_text();
    let mut watch = bench.plugbus(&["stats", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["methods"], json!([]));
    bench.expect(&["call", "text.revert", "ab"], 0);
    let rate = eventually("a picture with a rate", || {
        let picture = next();
        picture["methods"].as_array()?.first()?["per_second"].as_f64()
    });
    assert!(rate > 0.0, "{rate}");
    send(Signal::INT, watch.id().into());
    assert!(watch.wait().unwrap().success());
}
