//! Methods that make calls, wait to be cancelled, or die: for plugins and hosts of the tests.

use std::fs;
use std::future::pending;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plugbus::plugin::{Context, Failure, Plugin};
use rustix::process::{Signal, getpid, kill_process};

/// The lines that methods have left in that file.
pub(crate) fn noted(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn note(path: &Path, line: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Adds the methods to a plugin.
pub(crate) fn with_calls(plugin: Plugin) -> Plugin {
    plugin
        .method("hold", "Goes on until nobody waits for it, and notes that.", hold)
        .method_async("hold_async", "The same; it is dropped.", hold_async)
        .method("relay", "Calls a method and gives back its result.", relay)
        .method_async("relay_async", "The same.", relay_async)
        .method("bounce", "Calls the methods one within the other; gives the depth of the last.", bounce)
        .method_async("bounce_async", "The same.", bounce_async)
        .method("endless", "Calls that method, which is this one again.", endless)
        .method("ask_caller", "Calls that method of whoever called.", ask_caller)
        .method("left", "How many milliseconds its caller waits.", |(): (), context: Context| {
            Ok::<_, Failure>(u64::try_from(context.remaining().as_millis()).unwrap())
        })
        .method("die_once", "Notes that it ran; the first time it is killed.", die_once)
        .method("die_once_again", "The same, and may be run twice.", die_once)
        .idempotent("die_once_again")
}

fn hold(path: PathBuf, context: Context) -> Result<(), Failure> {
    note(&path, "begun");
    while !context.is_cancelled() {
        // Nobody unparks it.
        std::thread::park_timeout(Duration::from_millis(1));
    }
    note(&path, if context.remaining().is_zero() { "late" } else { "cancelled" });
    Ok(())
}

/// Notes when it is dropped.
struct Noting(PathBuf, Context);

impl Drop for Noting {
    fn drop(&mut self) {
        note(&self.0, if self.1.remaining().is_zero() { "late" } else { "cancelled" });
    }
}

async fn hold_async(path: PathBuf, context: Context) -> Result<(), Failure> {
    note(&path, "begun");
    let _noting = Noting(path, context);
    pending().await
}

fn relay((method, params): (String, serde_json::Value), context: Context) -> Result<serde_json::Value, Failure> {
    Ok(context.call_blocking(&method, &params)?)
}

async fn relay_async(
    (method, params): (String, serde_json::Value),
    context: Context,
) -> Result<serde_json::Value, Failure> {
    Ok(context.call(&method, &params).await?)
}

fn bounce(mut path: Vec<String>, context: Context) -> Result<u32, Failure> {
    match path.pop() {
        Some(next) => Ok(context.call_blocking(&next, &path)?),
        None => Ok(context.trail().depth()),
    }
}

async fn bounce_async(mut path: Vec<String>, context: Context) -> Result<u32, Failure> {
    match path.pop() {
        Some(next) => Ok(context.call(&next, &path).await?),
        None => Ok(context.trail().depth()),
    }
}

fn endless((own, other): (String, String), context: Context) -> Result<(), Failure> {
    Ok(context.call_blocking(&other, &(&other, &own))?)
}

fn ask_caller((method, params): (String, String), context: Context) -> Result<String, Failure> {
    let caller = context.trail().caller().ok_or_else(|| Failure::new("nobody to call back"))?;
    Ok(context.request(&method).instance(caller).call_blocking(&params)?)
}

fn die_once(path: PathBuf) -> Result<usize, Failure> {
    note(&path, "ran");
    let runs = noted(&path).len();
    if runs == 1 {
        kill_process(getpid(), Signal::KILL).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            std::thread::park_timeout(Duration::from_secs(1));
        }
    }
    Ok(runs)
}
