//! The bytes on the socket: greetings, frames, and the ids before a message.
//!
//! Knows no sockets: bytes go in as they come, messages come out. `docs/protocol.md` has the rules.

use crate::bus::buffers;
use crate::wire::MAX_MESSAGE;

/// How a requester greets, and what a replier expects.
pub(super) const REQUESTER: [u8; 8] = *b"\0SP\0\0\x30\0\0";
/// How a replier greets, and what a requester expects.
pub(super) const REPLIER: [u8; 8] = *b"\0SP\0\0\x31\0\0";
/// How the one who asks everybody greets.
pub(super) const SURVEYOR: [u8; 8] = *b"\0SP\0\0\x62\0\0";
/// How those who answer it greet.
pub(super) const RESPONDENT: [u8; 8] = *b"\0SP\0\0\x63\0\0";
/// How the one who tells everybody greets.
pub(super) const PUBLISHER: [u8; 8] = *b"\0SP\0\0\x20\0\0";
/// How those who listen to it greet.
pub(super) const SUBSCRIBER: [u8; 8] = *b"\0SP\0\0\x21\0\0";

/// How both sides of a connection greet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Greetings {
    pub(super) own: [u8; 8],
    pub(super) theirs: [u8; 8],
}

/// The first byte of a frame and its length.
pub(super) const HEAD: usize = 9;

/// The high bit of the id of a request or a survey; ids of relays have none.
pub(super) const REQUEST_ID: u32 = 0x8000_0000;

/// Ids before a message, the request's own among them; one with more has gone round in circles.
const MAX_IDS: usize = 8;

/// What a frame may hold: the largest message with the longest header.
const MAX_FRAME: usize = MAX_MESSAGE + 4 * MAX_IDS;

/// What is allocated for a message before its first byte is there; then it grows with what has come.
const FIRST_STEP: usize = 64 * 1024;

/// As many times what has come is allocated next; a mebibyte with what stands before it is there in two steps.
const GROWTH: usize = 4;

/// The peer does not speak the protocol; its connection is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// What a decoder found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The peer's greeting is complete.
    Greeting,
    /// A whole message with its header.
    Message(Vec<u8>),
}

/// Takes the bytes of one direction of a connection apart.
#[derive(Debug)]
pub(super) struct Decoder {
    expected: [u8; 8],
    /// What a message has at least: an id, but where it is published.
    least: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Greeting { matched: usize },
    Head { bytes: [u8; HEAD], filled: usize },
    Message { bytes: Vec<u8>, length: usize },
}

impl State {
    const HEAD: Self = Self::Head { bytes: [0; HEAD], filled: 0 };
}

impl Decoder {
    /// A decoder that expects that greeting first.
    pub(super) fn new(expected: [u8; 8]) -> Self {
        let least = if expected == PUBLISHER { 0 } else { 4 };
        Self { expected, least, state: State::Greeting { matched: 0 } }
    }

    /// Takes bytes off the front of the input until something is whole; `None` when the input is used up.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Found>, Malformed> {
        while !input.is_empty() {
            match &mut self.state {
                State::Greeting { matched } => {
                    let (now, rest) = input.split_at(input.len().min(self.expected.len() - *matched));
                    if self.expected.get(*matched..*matched + now.len()) != Some(now) {
                        return Err(Malformed);
                    }
                    (*matched, *input) = (*matched + now.len(), rest);
                    if *matched == self.expected.len() {
                        self.state = State::HEAD;
                        return Ok(Some(Found::Greeting));
                    }
                }
                State::Head { bytes, filled } => {
                    let (now, rest) = input.split_at(input.len().min(HEAD - *filled));
                    bytes[*filled..*filled + now.len()].copy_from_slice(now);
                    (*filled, *input) = (*filled + now.len(), rest);
                    if *filled == HEAD {
                        let length = length(*bytes, self.least)?;
                        if length == 0 {
                            self.state = State::HEAD;
                            return Ok(Some(Found::Message(Vec::new())));
                        }
                        self.state = State::Message { bytes: buffers::take(length), length };
                    }
                }
                State::Message { bytes, length } => {
                    let (now, rest) = input.split_at(input.len().min(*length - bytes.len()));
                    reserve(bytes, *length, now.len());
                    bytes.extend_from_slice(now);
                    *input = rest;
                    if bytes.len() == *length {
                        let message = std::mem::take(bytes);
                        self.state = State::HEAD;
                        return Ok(Some(Found::Message(message)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether a message has begun and its end is still missing.
    pub(super) fn is_within(&self) -> bool {
        match &self.state {
            State::Greeting { .. } => false,
            State::Head { filled, .. } => *filled > 0,
            State::Message { .. } => true,
        }
    }

    /// The message that has come in part, with room for more, where much of it is still missing.
    ///
    /// What is read straight into it may be more than the message: [`overrun`](Self::overrun) cuts that off.
    pub(super) fn room(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.state {
            State::Message { bytes, length } if *length - bytes.len() >= FIRST_STEP => {
                reserve(bytes, *length, FIRST_STEP);
                Some(bytes)
            }
            _ => None,
        }
    }

    /// What was read beyond the end of the message, to be given to [`next`](Self::next).
    pub(super) fn overrun(&mut self) -> Vec<u8> {
        match &mut self.state {
            // At least the last byte goes through `next`, which is where a message is completed.
            State::Message { bytes, length } if bytes.len() >= *length => bytes.split_off(*length - 1),
            _ => Vec::new(),
        }
    }
}

/// Memory follows what has come, not what was promised; a whole message is allocated once.
fn reserve(bytes: &mut Vec<u8>, length: usize, coming: usize) {
    let missing = length - bytes.len();
    if bytes.capacity() - bytes.len() < coming {
        bytes.reserve_exact(missing.min(coming.max(FIRST_STEP).max(bytes.len() * GROWTH)));
    }
}

fn length([kind, length @ ..]: [u8; HEAD], least: usize) -> Result<usize, Malformed> {
    let length = usize::try_from(u64::from_be_bytes(length)).map_err(|_| Malformed)?;
    if kind == 1 && (least..=MAX_FRAME).contains(&length) { Ok(length) } else { Err(Malformed) }
}

/// The first bytes of a frame: kind and length.
pub(super) fn head(length: usize) -> [u8; HEAD] {
    let mut head = [1; HEAD];
    head[1..].copy_from_slice(&(length as u64).to_be_bytes());
    head
}

/// Where the header of a request ends; `None` where it was relayed too often.
pub(super) fn split_request(message: &[u8]) -> Result<Option<usize>, Malformed> {
    for ids in 0..MAX_IDS {
        let id = message.get(4 * ids..4 * ids + 4).ok_or(Malformed)?;
        if id[0] & 0x80 != 0 {
            let end = 4 * ids + 4;
            return if message.len() - end > MAX_MESSAGE { Err(Malformed) } else { Ok(Some(end)) };
        }
    }
    Ok(None)
}

/// The id that a reply, or the answer to a survey, is for.
pub(super) fn reply_id(message: &[u8]) -> Result<u32, Malformed> {
    let (id, body) = message.split_first_chunk().ok_or(Malformed)?;
    if body.len() > MAX_MESSAGE { Err(Malformed) } else { Ok(u32::from_be_bytes(*id)) }
}

#[cfg(any(feature = "fuzzing", all(test, feature = "config")))]
/// The requests in what a caller sends after its greeting, as it comes in pieces, and whether it broke the protocol.
pub(crate) fn take_apart(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let (mut decoder, mut found) = (Decoder::new(REQUESTER), Vec::new());
    for mut input in std::iter::once(&REQUESTER[..]).chain(pieces.iter().copied()) {
        loop {
            match decoder.next(&mut input) {
                Ok(None) => break,
                Ok(Some(Found::Greeting)) => {}
                Ok(Some(Found::Message(message))) => match split_request(&message) {
                    Ok(end) => found.push(message[end.unwrap_or_default()..].to_vec()),
                    Err(Malformed) => return (found, true),
                },
                Err(Malformed) => return (found, true),
            }
        }
    }
    (found, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        [&head(message.len())[..], message].concat()
    }

    fn stream() -> Vec<u8> {
        let frames = [&b"\x80\0\0\x01first"[..], b"\x80\0\0\x02", b"\0\0\0\x05\x80\0\0\x03third"];
        [REQUESTER.to_vec(), frames.map(frame).concat()].concat()
    }

    fn decode(chunks: &[&[u8]]) -> Result<Vec<Found>, Malformed> {
        let (mut decoder, mut found) = (Decoder::new(REQUESTER), Vec::new());
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(next) = decoder.next(&mut input)? {
                found.push(next);
            }
        }
        Ok(found)
    }

    #[test]
    fn it_does_not_matter_where_a_stream_is_split() {
        let stream = stream();
        let whole = decode(&[&stream]).unwrap();
        assert_eq!(whole.len(), 4);
        for at in 0..=stream.len() {
            let (before, after) = stream.split_at(at);
            assert_eq!(decode(&[before, after]).unwrap(), whole, "split at {at}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode(&bytes).unwrap(), whole);
    }

    #[test]
    fn what_is_read_straight_into_a_message_may_run_over() {
        let large = [b"\x80\0\0\x01".to_vec(), vec![7; 3 * FIRST_STEP]].concat();
        let stream = [REQUESTER.to_vec(), frame(&large), frame(b"\x80\0\0\x02")].concat();
        for chunk in [1000, FIRST_STEP, 2 * FIRST_STEP, 10 * FIRST_STEP] {
            let (mut decoder, mut found, mut rest) = (Decoder::new(REQUESTER), Vec::new(), &stream[..]);
            while !rest.is_empty() {
                let (now, later) = rest.split_at(chunk.min(rest.len()));
                rest = later;
                let mut buffer = match decoder.room() {
                    Some(message) => {
                        message.extend_from_slice(now);
                        decoder.overrun()
                    }
                    None => now.to_vec(),
                };
                let mut input = &std::mem::take(&mut buffer)[..];
                while let Some(next) = decoder.next(&mut input).unwrap() {
                    found.push(next);
                }
            }
            let messages = [large.clone(), b"\x80\0\0\x02".to_vec()].map(Found::Message);
            assert!(found[1..] == messages, "in chunks of {chunk}");
        }
    }

    #[test]
    fn a_length_alone_costs_little_and_one_too_large_is_refused() {
        let mut decoder = Decoder::new(REQUESTER);
        let greeted = [&REQUESTER[..], &head(MAX_FRAME)].concat();
        let mut input = &greeted[..];
        assert_eq!(decoder.next(&mut input), Ok(Some(Found::Greeting)));
        assert_eq!(decoder.next(&mut input), Ok(None));
        // More than the first step only where that was there already.
        assert!(decoder.room().unwrap().capacity() <= buffers::LARGEST);
        for length in [0, 3, MAX_FRAME + 1, usize::MAX] {
            assert_eq!(decode(&[&REQUESTER, &head(length)]), Err(Malformed), "{length}");
        }
        assert_eq!(decode(&[&REQUESTER, &[2, 0, 0, 0, 0, 0, 0, 0, 4]]), Err(Malformed));
    }

    #[test]
    fn what_is_published_has_no_id_and_may_be_empty() {
        let stream = [&PUBLISHER[..], &frame(b""), &frame(b"x"), &frame(b"")].concat();
        let (mut decoder, mut input, mut found) = (Decoder::new(PUBLISHER), &stream[..], Vec::new());
        while let Some(next) = decoder.next(&mut input).unwrap() {
            found.push(next);
        }
        assert_eq!(found[1..], [&b""[..], b"x", b""].map(|message| Found::Message(message.to_vec())));
    }

    #[test]
    fn only_the_right_greeting_will_do() {
        for at in 0..REQUESTER.len() {
            let mut wrong = REQUESTER;
            wrong[at] ^= 1;
            assert_eq!(decode(&[&wrong]), Err(Malformed), "byte {at}");
        }
        assert_eq!(decode(&[&REPLIER]), Err(Malformed));
    }

    #[test]
    fn the_header_ends_with_the_request_id() {
        assert_eq!(split_request(b"\x80\0\0\x01body"), Ok(Some(4)));
        assert_eq!(split_request(b"\0\0\0\x01\x80\0\0\x01"), Ok(Some(8)));
        let relayed = |times: usize| [vec![0; 4 * times], REQUEST_ID.to_be_bytes().to_vec()].concat();
        assert_eq!(split_request(&relayed(7)), Ok(Some(32)));
        assert_eq!(split_request(&relayed(8)), Ok(None));
        assert_eq!(split_request(b"\0\0\0\x01\x80\0\0"), Err(Malformed));
        assert_eq!(reply_id(b"\x80\0\0"), Err(Malformed));
        assert_eq!(reply_id(b"\x80\0\0\x09x"), Ok(REQUEST_ID | 9));
    }
}
