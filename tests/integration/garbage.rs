//! What strangers may send to a plugin: the connection or the message fails, and the next caller is served.

use std::io::Write;
use std::time::Duration;

use plugbus::wire::{Code, Fault, MAX_MESSAGE, Reply, RequestHead};

use crate::support::{PluginProcess, RawCaller, golden, refused_requests, text};

/// What a plugin may grow by, whatever it is sent: two messages of the largest size, and some slack.
const ROOM: u64 = 80;

fn open(plugin: &PluginProcess) -> RawCaller {
    RawCaller::open(&plugin.socket()).unwrap()
}

fn connect(plugin: &PluginProcess) -> RawCaller {
    RawCaller::connect(&plugin.socket()).unwrap()
}

/// Somebody else comes along and gets a result.
#[track_caller]
fn serves_the_next(plugin: &PluginProcess) {
    assert_eq!(connect(plugin).call(&golden("both/request")).unwrap(), golden("both/reply"));
}

fn fault(reply: &[u8]) -> Fault {
    match Reply::decode(reply).unwrap() {
        Reply::Error(fault) => fault,
        other => panic!("no error: {other:?}"),
    }
}

#[test]
fn the_bytes_on_the_socket_are_those_of_the_protocol_text() {
    let plugin = text();
    let mut caller = open(&plugin);
    caller.0.write_all(&golden("socket/greeting-requester")).unwrap();
    caller.0.write_all(&golden("socket/frame-request")).unwrap();
    let expected = [golden("socket/greeting-replier"), golden("socket/frame-reply")].concat();
    let mut found = vec![0; expected.len()];
    std::io::Read::read_exact(&mut caller.0, &mut found).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn invariant_10_noise_instead_of_a_greeting_is_hung_up_on() {
    let plugin = text();
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"\0SP\x01\x00\x30\x00\x00", &[0; 8]] {
        let mut caller = open(&plugin);
        // It may be hung up on before all of it is written.
        let _ = caller.0.write_all(noise);
        caller.expect_closed();
        serves_the_next(&plugin);
    }
}

#[test]
fn another_role_is_hung_up_on() {
    let plugin = text();
    for role in [0x10, 0x20, 0x31, 0x50, 0x62, 0x63, 0x70] {
        let mut caller = open(&plugin);
        caller.0.write_all(&[0, b'S', b'P', 0, 0, role, 0, 0]).unwrap();
        caller.expect_closed();
    }
    serves_the_next(&plugin);
}

#[test]
fn a_greeting_may_come_a_byte_at_a_time() {
    let plugin = text();
    let mut caller = open(&plugin);
    for byte in golden("socket/greeting-requester") {
        caller.0.write_all(&[byte]).unwrap();
        serves_the_next(&plugin);
    }
    let mut greeting = [0; 8];
    std::io::Read::read_exact(&mut caller.0, &mut greeting).unwrap();
    caller.ping().unwrap();
}

#[test]
fn invariant_10_half_a_message_holds_nobody_up() {
    let plugin = text();
    let whole = [golden("socket/greeting-requester"), golden("socket/frame-request")].concat();
    let mut waiting = Vec::new();
    for cut in 0..whole.len() {
        let mut caller = open(&plugin);
        caller.0.write_all(&whole[..cut]).unwrap();
        // Every other one hangs up half way, the rest stay and say no more.
        if cut % 2 == 0 {
            waiting.push(caller);
        }
    }
    serves_the_next(&plugin);
    drop(waiting);
    serves_the_next(&plugin);
}

#[test]
fn invariant_10_a_length_that_lies_costs_no_memory() {
    let plugin = text();
    let before = plugin.peak_memory();
    for length in [u64::from(u32::MAX), 1 << 32, 1 << 40, u64::MAX, MAX_MESSAGE as u64 * 2] {
        let mut caller = connect(&plugin);
        caller.0.write_all(&[&[1], &length.to_be_bytes()[..]].concat()).unwrap();
        caller.expect_closed();
        serves_the_next(&plugin);
    }
    // A length that is allowed, without the bytes: each costs at most what it says, and only while it waits.
    let lies: Vec<RawCaller> = std::iter::repeat_with(|| {
        let mut caller = connect(&plugin);
        caller.0.write_all(&[&[1], &(MAX_MESSAGE as u64).to_be_bytes()[..]].concat()).unwrap();
        caller
    })
    .take(8)
    .collect();
    serves_the_next(&plugin);
    drop(lies);
    let grown = plugin.peak_memory() - before;
    assert!(grown < ROOM, "grew by {grown} MiB");
}

#[test]
fn a_frame_that_is_no_message_is_hung_up_on() {
    let plugin = text();
    for junk in [&[2, 0, 0, 0, 0, 0, 0, 0, 4, 0x80, 0, 0, 1][..], &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0x80, 0]] {
        let mut caller = connect(&plugin);
        caller.0.write_all(junk).unwrap();
        caller.expect_closed();
    }
    // Ids without a last one: every four bytes say that more are to come.
    let mut caller = connect(&plugin);
    caller.send(&[1; 3], b"").unwrap();
    caller.expect_closed();
    // Past eight it could be a message that was relayed in a circle: dropped, and no harm done.
    let mut caller = connect(&plugin);
    caller.send(&[1; 100_000], b"").unwrap();
    caller.ping().unwrap();
    serves_the_next(&plugin);
}

#[test]
fn ids_of_relays_come_back_with_the_reply() {
    let plugin = text();
    let mut caller = connect(&plugin);
    caller.send(&[5, 0x8000_0001], &golden("both/request-ping")).unwrap();
    let (first, rest) = caller.receive().unwrap();
    assert_eq!((first, &rest[..4]), (5, &[0x80, 0, 0, 1][..]));
    assert_eq!(&rest[4..], golden("both/reply-none"));
}

#[test]
fn a_message_that_breaks_the_rules_is_answered_by_name() {
    let plugin = text();
    let refused = refused_requests();
    assert!(refused.len() > 10, "only {} messages", refused.len());
    for (name, body, code) in refused {
        let fault = fault(&connect(&plugin).call(&body).unwrap());
        assert_eq!(code, fault.code.as_str(), "{name}: {fault}");
    }
    serves_the_next(&plugin);
}

#[test]
fn invariant_10_nesting_without_end_is_a_bad_message() {
    let plugin = text();
    let before = plugin.peak_memory();
    for levels in [129, 100_000, MAX_MESSAGE - 100] {
        let deep = [vec![0x91; levels], vec![0xc0]].concat();
        let mut caller = connect(&plugin);
        assert_eq!(fault(&caller.call(&deep).unwrap()).code, Code::BadMessage, "{levels} levels");
        // The same where parameters belong.
        let request = [&b"\x83\xa1v\x01\xa6method\xa6revert\xa6params"[..], &deep].concat();
        assert_eq!(fault(&caller.call(&request[..request.len().min(MAX_MESSAGE)]).unwrap()).code, Code::BadMessage);
        caller.ping().unwrap();
    }
    serves_the_next(&plugin);
    let grown = plugin.peak_memory() - before;
    assert!(grown < ROOM, "grew by {grown} MiB");
}

#[test]
fn the_largest_message_passes_and_one_byte_more_does_not() {
    let plugin = text();
    let empty = RequestHead::new("$ping", Duration::from_secs(30)).encode("").unwrap();
    // A string this long has a head of five bytes instead of one.
    let fits = "x".repeat(MAX_MESSAGE - empty.len() - 4);
    let largest = RequestHead::new("$ping", Duration::from_secs(30)).encode(&fits).unwrap();
    assert_eq!(largest.len(), MAX_MESSAGE);
    connect(&plugin).call(&largest).unwrap();
    let mut caller = connect(&plugin);
    // It may be hung up on before all of it is written.
    let _ = caller.send(&[0x8000_0001], &[&largest[..], &[0]].concat());
    caller.expect_closed();
    serves_the_next(&plugin);
}

#[test]
fn a_thousand_who_come_and_go_close_the_door_for_nobody() {
    let plugin = text();
    for _ in 0..1000 {
        drop(open(&plugin));
    }
    serves_the_next(&plugin);
    for _ in 0..1000 {
        let mut caller = open(&plugin);
        caller.0.write_all(&golden("socket/greeting-requester")).unwrap();
    }
    serves_the_next(&plugin);
}

#[test]
fn who_leaves_before_the_reply_disturbs_nobody() {
    let plugin = text();
    for _ in 0..100 {
        let mut caller = connect(&plugin);
        caller.send(&[0x8000_0001], &golden("both/request")).unwrap();
    }
    serves_the_next(&plugin);
}
