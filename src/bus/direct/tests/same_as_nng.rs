//! The same streams to the lane and to NNG.

use std::io::Write;
use std::thread;

use super::*;
use crate::bus::Lane;

/// A seeded generator: the same streams in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// A piece of a stream, most often a sound one.
    fn piece(&mut self, id: u32) -> Vec<u8> {
        let size = usize::try_from([0, 1, 30, 5_000, 200_000][usize::try_from(self.below(5)).unwrap()]).unwrap();
        let relays = |count: usize, id: u32| {
            let message = [vec![1; 4 * count], message(id, b"relayed")].concat();
            [&head(message.len())[..], &message].concat()
        };
        match self.below(40) {
            0 => vec![2, 0, 0, 0, 0, 0, 0, 0, 4, 0x80, 0, 0, 1],
            1 => [&head(2)[..], &[0x80, 0]].concat(),
            2 => [&head(6)[..], &[0, 0, 0, 1, 0x80, 0]].concat(),
            3 => head(1 << 40).to_vec(),
            4..10 => relays(usize::try_from(5 + self.below(5)).unwrap(), id),
            _ => frame(id, &vec![u8::try_from(id % 251).unwrap(); size]),
        }
    }
}

/// What comes back for these pieces: the replies, and whether the connection was kept.
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
    let mut dice = Dice(0x5eed_cafe);
    let mut kept_ones = 0;
    for round in 0..300 {
        let count = 1 + u32::try_from(dice.below(8)).unwrap();
        let pieces: Vec<_> = (0..count).map(|id| dice.piece(id)).collect();
        let (our_replies, kept) = answers(&ours, &pieces);
        let (their_replies, kept_there) = answers(&theirs, &pieces);
        assert_eq!(kept, kept_there, "round {round}");
        // Which replies still got out before the end is a matter of luck.
        assert!(!kept || our_replies == their_replies, "round {round}");
        kept_ones += u32::from(kept);
    }
    assert!((50..280).contains(&kept_ones), "{kept_ones} of 300 streams were sound: the dice are loaded");
}
