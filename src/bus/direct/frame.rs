//! The bytes on the socket: greetings, frames, and the ids before a message.
//!
//! Knows no sockets: bytes go in as they come, messages come out. `docs/protocol.md` has the rules.

use crate::wire::MAX_MESSAGE;

/// How a requester greets, and what a replier expects.
pub(super) const REQUESTER: [u8; 8] = *b"\0SP\0\0\x30\0\0";
/// How a replier greets, and what a requester expects.
pub(super) const REPLIER: [u8; 8] = *b"\0SP\0\0\x31\0\0";

/// The first byte of a frame and its length.
pub(super) const HEAD: usize = 9;

/// The high bit of a request id; ids of relays have none.
pub(super) const REQUEST_ID: u32 = 0x8000_0000;

/// Ids before a message, the request's own among them; one with more has gone round in circles.
const MAX_IDS: usize = 8;

/// What a frame may hold: the largest message with the longest header.
const MAX_FRAME: usize = MAX_MESSAGE + 4 * MAX_IDS;

/// What is allocated for a message before its first byte is there; then it grows with what has come.
const FIRST_STEP: usize = 64 * 1024;

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
        Self { expected, state: State::Greeting { matched: 0 } }
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
                        let length = length(*bytes)?;
                        self.state = State::Message { bytes: Vec::new(), length };
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

    /// The message that has come in part, with room for more, where much of it is still missing.
    ///
    /// What is read straight into it may be more than the message: [`overrun`](Self::overrun) cuts that off.
    pub(super) fn room(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.state {
            State::Message { bytes, length } if *length - bytes.len() >= FIRST_STEP => {
                reserve(bytes, *length, 1);
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
    if bytes.capacity() - bytes.len() < coming.max(1) {
        bytes.reserve_exact(missing.min(coming.max(FIRST_STEP).max(bytes.len() * 3)));
    }
}

fn length([kind, length @ ..]: [u8; HEAD]) -> Result<usize, Malformed> {
    let length = usize::try_from(u64::from_be_bytes(length)).map_err(|_| Malformed)?;
    // Less than an id is no message of this protocol.
    if kind == 1 && (4..=MAX_FRAME).contains(&length) { Ok(length) } else { Err(Malformed) }
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

/// The id that a reply answers.
pub(super) fn reply_id(message: &[u8]) -> Result<u32, Malformed> {
    let (id, body) = message.split_first_chunk().ok_or(Malformed)?;
    if body.len() > MAX_MESSAGE { Err(Malformed) } else { Ok(u32::from_be_bytes(*id)) }
}
