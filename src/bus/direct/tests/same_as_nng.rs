//! The same streams to the lane and to NNG.

use std::cell::Cell;
use std::io::Write;
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::bus::Lane;

/// A piece of a stream, most often a sound one.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let relayed = |count: usize| {
        let message = [vec![1; 4 * count], message(1, b"relayed")].concat();
        [&head(message.len())[..], &message].concat()
    };
    let sizes = prop_oneof![Just(0), Just(1), Just(30), Just(5_000), Just(200_000), 0..70_000_usize];
    prop_oneof![
        20 => (0..1000_u32, sizes, any::<u8>()).prop_map(|(id, size, byte)| frame(id, &vec![byte; size])),
        4 => (5..10_usize).prop_map(relayed),
        1 => Just(vec![2, 0, 0, 0, 0, 0, 0, 0, 4, 0x80, 0, 0, 1]),
        1 => Just([&head(2)[..], &[0x80, 0]].concat()),
        1 => Just([&head(6)[..], &[0, 0, 0, 1, 0x80, 0]].concat()),
        1 => Just(head(1 << 40).to_vec()),
    ]
}

/// Cuts a stream at these places, each of them a share of what is left.
fn cut(stream: &[u8], shares: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = stream;
    let mut cut = |share: &u8| {
        let (now, later) = rest.split_at(rest.len() * usize::from(*share) / 256);
        rest = later;
        now.to_vec()
    };
    let mut parts: Vec<_> = shares.iter().map(&mut cut).collect();
    parts.push(rest.to_vec());
    parts
}

/// What comes back for what is written in these pieces: the replies, and whether the connection was kept.
fn answers(endpoint: &Endpoint, pieces: &[Vec<u8>]) -> (Vec<Vec<u8>>, bool) {
    const LAST: u32 = 0x00ff_ffff;
    let mut raw = Raw::greeted(endpoint);
    let mut writer = raw.0.try_clone().unwrap();
    let pieces = [pieces, &[frame(LAST, b"last")]].concat();
    thread::scope(|scope| {
        scope.spawn(move || {
            for piece in pieces {
                // It may be hung up on.
                if writer.write_all(&piece).is_err() {
                    break;
                }
            }
        });
        let mut replies = Vec::new();
        let kept = loop {
            match raw.receive() {
                Ok(reply) if reply == message(LAST, b"last") => break true,
                Ok(reply) => replies.push(reply),
                Err(_) => break false,
            }
        };
        replies.sort();
        (replies, kept)
    })
}

#[test]
fn the_lane_answers_any_stream_as_nng_does() {
    let place = Place::new();
    let (ours, theirs) = (place.endpoint(), Endpoint::ipc(&place.0.path().join("nng")).unwrap());
    for (lane, endpoint) in [(Lane::Direct, &ours), (Lane::Nng, &theirs)] {
        // With room for one, replies come in the order of the requests.
        let mut replier = crate::bus::Replier::listen_on(lane, endpoint, 1).unwrap();
        thread::spawn(move || {
            while let Some(incoming) = block_on(replier.next()) {
                let body = incoming.body().to_vec();
                incoming.reply(&body);
            }
        });
    }
    let kept_ones = Cell::new(0);
    let cases = ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(pieces in vec(piece(), 1..8), shares in vec(any::<u8>(), 0..6))| {
        let parts = cut(&pieces.concat(), &shares);
        let (our_replies, kept) = answers(&ours, &parts);
        let (their_replies, kept_there) = answers(&theirs, &parts);
        prop_assert_eq!(kept, kept_there);
        // Which replies still got out before the end is a matter of luck.
        prop_assert!(!kept || our_replies == their_replies);
        kept_ones.set(kept_ones.get() + u32::from(kept));
    });
    assert!((20..190).contains(&kept_ones.get()), "{} of 200 streams were sound", kept_ones.get());
}
