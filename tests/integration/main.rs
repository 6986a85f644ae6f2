//! Tests with real processes and sockets, one module a behaviour. `support` starts things and waits for them.
//!
//! A test that holds one of the invariants of `docs/architecture.md` has its number in its name.

#![expect(clippy::unwrap_used, reason = "a test may panic, in what it calls too")]

mod access;
mod at_most_once;
mod busy;
mod by_hand;
mod call_path;
mod calls;
mod cancellation;
mod cli;
mod clocks;
mod completion;
mod confined;
mod control;
#[cfg(target_os = "linux")]
mod daemon;
mod deadlines;
mod demo;
mod dependencies;
mod documents;
mod events;
mod fairness;
mod full_disk;
mod garbage;
mod identity;
mod inheritance;
mod interface;
mod interop;
mod lane;
mod late_supervisor;
mod logs;
mod nested;
mod one_process;
mod orphans;
mod other_users;
mod output;
mod programs;
mod reasons;
mod reload;
mod replicas;
mod restart_policy;
mod restarts;
mod rolling;
mod sink;
mod stats;
mod stopping;
mod strangers;
mod streams;
#[cfg(target_os = "linux")]
mod succession;
mod supervise;
mod support;
mod trace;
mod trees;
mod trust;
mod upgrade;
mod versions;
