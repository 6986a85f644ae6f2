//! The question that is asked of all plugins at once, and its answer.

use serde::{Deserialize, Serialize};

use super::call::check_version;
use super::codec::{CodecError, Raw, to_vec};
use super::fields::{Fields, Once};
use super::{MethodInfo, PROTOCOL};

/// One survey round's question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    v: u64,
    /// Counts the rounds; an answer repeats it, so that a late one is told from a timely one.
    pub round: u64,
    /// How much the plugin should say of itself.
    pub want: Want,
}

/// How much a plugin should say of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Want {
    /// Its state and counters.
    Ping,
    /// These, its version and its methods too.
    Info,
    /// Something this version does not know; answered like [`Want::Ping`].
    #[serde(other)]
    Unknown,
}

/// Where a plugin stands in its life, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Not yet able to take calls.
    Starting,
    /// Takes calls.
    Ready,
    /// Takes no new calls, finishes those it has, then exits.
    Draining,
}

/// What a plugin answers to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    v: u64,
    /// The round that is answered.
    pub round: u64,
    /// The plugin's name, from `PLUGBUS_NAME`.
    pub name: String,
    /// The instance, from `PLUGBUS_INSTANCE`.
    pub instance: String,
    /// The process that answers.
    pub pid: u32,
    /// Whether it may be called.
    pub state: Phase,
    /// The counters of the moment.
    #[serde(flatten)]
    pub load: Load,
    /// What was asked for with [`Want::Info`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<Info>,
}

/// What a plugin is doing: enough to tell busy from wedged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// Calls that run at this moment.
    pub in_flight: u64,
    /// Age of the oldest of them, in milliseconds; 0 where none runs.
    pub oldest_ms: u64,
    /// Calls that succeeded since the start.
    pub done: u64,
    /// Calls that failed since the start.
    pub failed: u64,
    /// Moves whenever the plugin gets somewhere: a call's code begins, ends, or reports progress.
    pub beat: u64,
    /// For how long a call has run on past its deadline, in milliseconds; of several, the longest. 0 where none has.
    #[serde(skip_serializing_if = "is_zero")]
    pub overdue_ms: u64,
}

/// Whoever has nothing overdue says nothing of it, as those do that do not know the field.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a plugin is, as against what it is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The plugin's own version; empty where it has none.
    #[serde(default)]
    pub version: String,
    /// Its methods, without the built-in ones.
    #[serde(default)]
    pub methods: Vec<MethodInfo>,
    /// The newest protocol version it speaks, where that is not the one it answers in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_max: Option<u32>,
}

/// The fields of [`Load`] in an answer, in its order; whoever leaves one out means 0.
const COUNTERS: [&str; 6] = ["in_flight", "oldest_ms", "done", "failed", "beat", "overdue_ms"];

impl Question {
    /// A question of this protocol version.
    #[must_use]
    pub fn new(round: u64, want: Want) -> Self {
        Self { v: PROTOCOL.into(), round, want }
    }

    /// Encodes the question.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Numbers and fixed strings: nothing in it can fail to serialise.
        to_vec(self).unwrap_or_default()
    }

    /// Decodes and checks a question.
    ///
    /// # Errors
    /// [`CodecError`] where the message is no question of this protocol.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let raw = Raw::new(bytes)?;
        Fields::check(raw)?;
        let question: Self = raw.to()?;
        check_version(question.v)?;
        Ok(question)
    }
}

impl Answer {
    /// Answers a question for a plugin instance.
    #[must_use]
    pub fn new(question: &Question, name: &str, instance: &str, state: Phase) -> Self {
        Self {
            v: PROTOCOL.into(),
            round: question.round,
            name: name.to_owned(),
            instance: instance.to_owned(),
            pid: std::process::id(),
            state,
            load: Load::default(),
            info: None,
        }
    }

    /// Encodes the answer.
    ///
    /// # Errors
    /// [`CodecError::Mismatch`], in theory: all its fields serialise.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        to_vec(self)
    }

    /// Decodes and checks an answer.
    ///
    /// # Errors
    /// [`CodecError`] where the message is no answer of this protocol.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut version = Once::new("v");
        let mut round = Once::new("round");
        let mut name = Once::new("name");
        let mut instance = Once::new("instance");
        let mut pid = Once::new("pid");
        let mut state = Once::new("state");
        let mut info = Once::new("info");
        let mut counters = COUNTERS.map(Once::new);
        // By hand, because serde keeps every field of a flattened struct on the heap before it reads one of them.
        let mut read = |key, value: Raw<'_>| match key {
            "v" => version.set(value.uint()?),
            "round" => round.set(value.uint()?),
            "name" => name.set(value.str()?.to_owned()),
            "instance" => instance.set(value.str()?.to_owned()),
            "pid" => pid.set(u32::try_from(value.uint()?).map_err(|_| CodecError::Expected("a process id"))?),
            "state" => state.set(value.to()?),
            "info" => info.set(value.to()?),
            _ => match COUNTERS.iter().position(|counter| *counter == key) {
                Some(counter) => counters[counter].set(value.uint()?),
                None => Ok(()),
            },
        };
        // In another version the other fields may be of other types: that it is another one comes first.
        let mut wrong = Ok(());
        for field in Fields::of_message(bytes)? {
            let (key, value) = field?;
            wrong = wrong.and(read(key, value));
        }
        let v = version.need()?;
        check_version(v)?;
        wrong?;
        let [in_flight, oldest_ms, done, failed, beat, overdue_ms] =
            counters.map(|counter| counter.get().unwrap_or_default());
        Ok(Self {
            v,
            round: round.need()?,
            name: name.need()?,
            instance: instance.need()?,
            pid: pid.need()?,
            state: state.need()?,
            load: Load { in_flight, oldest_ms, done, failed, beat, overdue_ms },
            info: info.get().flatten(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_the_wire() {
        let question = Question::decode(&Question::new(7, Want::Info).encode()).unwrap();
        let mut answer = Answer::new(&question, "text", "k3", Phase::Ready);
        answer.load = Load { in_flight: 1, oldest_ms: 20, done: 5, failed: 2, beat: 14, overdue_ms: 7 };
        answer.info = Some(Info { version: "1.0".into(), ..Info::default() });
        assert_eq!(Answer::decode(&answer.encode().unwrap()), Ok(answer));
    }

    #[test]
    fn counters_may_be_left_out_and_unknown_wants_are_pings() {
        let bytes = to_vec(&serde_json::json!({
            "v": 1, "round": 1, "name": "a", "instance": "b", "pid": 3, "state": "ready", "mood": "good",
        }));
        assert_eq!(Answer::decode(&bytes.unwrap()).unwrap().load, Load::default());
        let question = to_vec(&serde_json::json!({"v": 1, "round": 1, "want": "horoscope"})).unwrap();
        assert_eq!(Question::decode(&question).unwrap().want, Want::Unknown);
    }

    #[test]
    fn an_answer_says_everything_once_and_in_this_version() {
        let answer =
            serde_json::json!({"v": 1, "round": 1, "name": "a", "instance": "b", "pid": 3, "state": "ready"});
        let decoded = |change: fn(&mut serde_json::Value)| {
            let mut answer = answer.clone();
            change(&mut answer);
            Answer::decode(&to_vec(&answer).unwrap()).map(|answer| answer.info)
        };
        assert_eq!(decoded(|answer| answer["info"] = serde_json::Value::Null), Ok(None));
        assert_eq!(
            decoded(|answer| answer["pid"] = 1_u64.rotate_right(8).into()),
            Err(CodecError::Expected("a process id"))
        );
        assert_eq!(
            decoded(|answer| (answer["v"], answer["name"]) = (2.into(), 7.into())),
            Err(CodecError::Version(2))
        );
        let without = |answer: &mut serde_json::Value| drop(answer.as_object_mut().unwrap().remove("instance"));
        assert_eq!(decoded(without), Err(CodecError::Missing("instance")));
        let twice = [&[0x82][..], &[0xa4], b"beat", &[1, 0xa4], b"beat", &[1]].concat();
        assert_eq!(Answer::decode(&twice).unwrap_err(), CodecError::Missing("v"));
        let twice = [&[0x83, 0xa1], &b"v"[..], &[1, 0xa4], b"beat", &[1, 0xa4], b"beat", &[1]].concat();
        assert_eq!(Answer::decode(&twice), Err(CodecError::Twice("beat")));
    }

    #[test]
    fn garbage_is_no_answer() {
        assert!(Answer::decode(b"").is_err());
        assert!(Answer::decode(&[0x80]).is_err());
        assert!(Answer::decode(&[0xc1; 40]).is_err());
    }
}
