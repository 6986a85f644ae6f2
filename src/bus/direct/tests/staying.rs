//! A worker that stays with the one connection that calls.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

use super::super::lock;
use super::*;

/// Calls alone until a worker stays with the caller.
fn stay(raw: &mut Raw, replier: &Replier) {
    wait_until("no worker stays", || {
        let stays = replier.crew().is_staying();
        if !stays {
            call(raw);
        }
        stays
    });
}

fn call(raw: &mut Raw) {
    raw.0.write_all(&frame(7, b"again")).unwrap();
    raw.expect(7, b"again");
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < until, "{what}");
        thread::yield_now();
    }
}

#[test]
fn whoever_else_calls_is_served_and_ends_it() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = echo(&endpoint, LIMITS);
    let mut raw = Raw::greeted(&endpoint);
    for _ in 0..3 {
        stay(&mut raw, &replier);
        let mut other = Raw::greeted(&endpoint);
        (0..20).for_each(|_| call(&mut other));
        // The second one is taken after that worker has left, as a rule.
        wait_until("it stays although there are others", || {
            let stays = replier.crew().is_staying();
            if stays {
                call(&mut raw);
            }
            !stays
        });
    }
}

#[test]
fn one_who_says_nothing_more_is_left_and_heard_later() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = echo(&endpoint, LIMITS);
    let mut raw = Raw::greeted(&endpoint);
    let whole = frame(1, &[7; 1000]);
    for part in [0, 1, HEAD, HEAD + 2, 500, whole.len() - 1] {
        stay(&mut raw, &replier);
        raw.0.write_all(&whole[..part]).unwrap();
        wait_until("it is stayed with for good", || !replier.crew().is_staying());
        raw.0.write_all(&whole[part..]).unwrap();
        raw.expect(1, &[7; 1000]);
    }
}

#[test]
fn its_large_messages_come_through() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = echo(&endpoint, LIMITS);
    let mut raw = Raw::greeted(&endpoint);
    let large: Vec<u8> = (0..3 << 20_u32).map(|at| (at / 1000) as u8).collect();
    let mut writer = Raw(raw.0.try_clone().unwrap());
    for _ in 0..3 {
        stay(&mut raw, &replier);
        thread::scope(|scope| {
            scope.spawn(|| writer.0.write_all(&[frame(1, &large), frame(2, b"small")].concat()).unwrap());
            raw.expect_all(&[(1, &large), (2, b"small")]);
        });
    }
}

#[test]
fn a_request_that_takes_long_is_left_with_its_worker() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = Replier::listen_with(&endpoint, LIMITS, &Guests::default()).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    replier.attend(Box::new(move |incoming, _| {
        if **incoming.body() == *b"long" {
            let _ = lock(&released).recv();
        }
        let body = incoming.body().to_vec();
        incoming.reply(body.into());
    }));
    let mut raw = Raw::greeted(&endpoint);
    for _ in 0..3 {
        stay(&mut raw, &replier);
        raw.0.write_all(&frame(1, b"long")).unwrap();
        // Served by the one who has taken its place.
        call(&mut raw);
        serves(&endpoint);
        release.send(()).unwrap();
        raw.expect(1, b"long");
    }
}

#[test]
fn it_ends_with_its_connection_whoever_ends_that() {
    let place = Place::new();
    let endpoint = place.endpoint();
    let replier = echo(&endpoint, LIMITS);
    let is_over = || replier.crew().door.everybody().is_empty() && !replier.crew().is_staying();
    let mut leaves = Raw::greeted(&endpoint);
    stay(&mut leaves, &replier);
    drop(leaves);
    wait_until("the caller that left is still there", is_over);
    let mut errs = Raw::greeted(&endpoint);
    stay(&mut errs, &replier);
    errs.0.write_all(&[0xff; 100]).unwrap();
    errs.expect_closed();
    wait_until("the caller that erred is still there", is_over);
    let mut stays = Raw::greeted(&endpoint);
    stay(&mut stays, &replier);
    block_on(replier.hang_up());
    stays.expect_closed();
}
