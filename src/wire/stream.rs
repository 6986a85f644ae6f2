//! Items that come one by one: what opens a stream, asks for items, brings and ends them.
//!
//! A stream is a few ordinary calls. The method's reply names the stream ([`Opened`]); `$next` asks for items
//! ([`Next`], [`Batch`]), `$put` brings some ([`Put`], [`Taken`]), `$close` ends it ([`Close`]). Items are numbered
//! from 0, so that a question that is asked twice is answered twice with the same items.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::codec::{CodecError, Raw, to_vec};
use super::fields::{Elements, Fields, Once};
use super::map_writer::MapWriter;
use super::{Fault, PROTOCOL};

/// How long a stream may be left alone unless its caller says otherwise: a minute.
pub const IDLE: Duration = Duration::from_secs(60);

/// The stream that a call has opened, as it stands in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened<'a> {
    /// Its name, which nobody else can guess.
    pub id: &'a str,
    /// How many items it takes for a start; left out by a method that takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<u64>,
}

/// What `$next` is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The number of the first item that is wanted: all before it have arrived. Left out: the one that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// How many items at most; none asks for nothing and keeps the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// How many bytes of items at most; a single item may be larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// For how many milliseconds the stream may be left alone after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_ms: Option<u64>,
}

/// What `$put` brings; its items are written and read apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The number of the first item here; left out, the one that follows.
    pub from: Option<u64>,
    /// The items.
    pub items: Items<'a>,
    /// Whether these are the last.
    pub end: bool,
    /// For how many milliseconds the stream may be left alone after this.
    pub keep_ms: Option<u64>,
}

/// What `$put` is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// How many items were taken since the stream began: the number of the next one to bring.
    pub next: u64,
    /// How many more would be taken now.
    pub credit: u64,
    /// Whether no more are taken: the method is done with them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end: bool,
}

/// What `$close` is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close<'a> {
    /// The stream.
    pub stream: &'a str,
}

/// How far a method has got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How much is done, in whatever the method counts.
    #[serde(default)]
    pub done: u64,
    /// How much there is to do, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What it is doing, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Items in their order, as they stand in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Items<'a> {
    count: u32,
    /// The values, one after the other, without a head.
    values: &'a [u8],
}

/// What `$next` is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The number of the first item.
    pub from: u64,
    /// The items; none where none came in time.
    pub items: Items<'a>,
    /// How far the method has got, where it has said so since the last time.
    pub progress: Option<Progress>,
    /// That nothing follows, and whether it went well.
    pub end: Option<Result<(), Fault>>,
}

impl<'a> Opened<'a> {
    pub(super) fn read(raw: Raw<'a>) -> Result<Self, CodecError> {
        Fields::check(raw)?;
        raw.to()
    }
}

impl<'a> Next<'a> {
    /// The next items of that stream, whatever comes.
    #[must_use]
    pub fn new(stream: &'a str) -> Self {
        Self { stream, from: None, max: None, bytes: None, keep_ms: None }
    }

    /// Reads the parameters of `$next`.
    ///
    /// # Errors
    /// [`CodecError`] says what is wrong with them.
    pub fn read(params: Raw<'a>) -> Result<Self, CodecError> {
        Fields::check(params)?;
        params.to()
    }
}

impl<'a> Close<'a> {
    /// Reads the parameters of `$close`.
    ///
    /// # Errors
    /// [`CodecError`] says what is wrong with them.
    pub fn read(params: Raw<'a>) -> Result<Self, CodecError> {
        Fields::check(params)?;
        params.to()
    }
}

impl<'a> Items<'a> {
    /// No items.
    pub const NONE: Items<'static> = Items { count: 0, values: &[] };

    /// So many MessagePack values, one after the other.
    #[must_use]
    pub fn new(count: u32, values: &'a [u8]) -> Self {
        Self { count, values }
    }

    fn read(array: Raw<'a>) -> Result<Self, CodecError> {
        let elements = Elements::of(array)?;
        // An array in a message has no more values than the message has bytes, and those fit.
        let count = u32::try_from(elements.count()).unwrap_or(u32::MAX);
        Ok(Self { count, values: elements.rest() })
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The items, one after the other.
    pub fn iter(&self) -> impl Iterator<Item = Raw<'a>> + use<'a> {
        Elements::in_row(self.values)
    }

    /// Their bytes, one value after the other.
    #[must_use]
    pub fn values(&self) -> &'a [u8] {
        self.values
    }
}

impl<'a> Put<'a> {
    /// Encodes the parameters of `$put`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96 + self.items.values.len());
        let given = [self.from.is_some(), self.end, self.keep_ms.is_some()];
        let mut map = MapWriter::new(&mut out, 2 + given.iter().map(|given| u32::from(*given)).sum::<u32>());
        map.str("stream", self.stream);
        if let Some(from) = self.from {
            map.uint("from", from);
        }
        map.array("items", self.items.count, self.items.values);
        if self.end {
            map.yes("end");
        }
        if let Some(keep) = self.keep_ms {
            map.uint("keep_ms", keep);
        }
        out
    }

    /// Reads the parameters of `$put`.
    ///
    /// # Errors
    /// [`CodecError`] says what is wrong with them.
    pub fn read(params: Raw<'a>) -> Result<Self, CodecError> {
        let mut stream = Once::new("stream");
        let mut from = Once::new("from");
        let mut items = Once::new("items");
        let mut end = Once::new("end");
        let mut keep = Once::new("keep_ms");
        for field in Fields::of(params)? {
            let (key, value) = field?;
            match key {
                "stream" => stream.set(value.str()?)?,
                "from" => from.set(value.uint()?)?,
                "items" => items.set(Items::read(value)?)?,
                "end" => end.set(value.bool()?)?,
                "keep_ms" => keep.set(value.uint()?)?,
                _ => {}
            }
        }
        let items = items.get().unwrap_or(Items::NONE);
        let end = end.get().unwrap_or(false);
        Ok(Self { stream: stream.need()?, from: from.get(), items, end, keep_ms: keep.get() })
    }
}

impl<'a> Batch<'a> {
    /// Encodes the whole reply to `$next`.
    #[must_use]
    pub fn encode_reply(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.items.values.len());
        let mut reply = MapWriter::new(&mut out, 2);
        reply.uint("v", PROTOCOL.into());
        let given = [self.progress.is_some(), self.end.is_some()];
        let mut map =
            MapWriter::nested(&mut reply, "result", 2 + given.iter().map(|given| u32::from(*given)).sum::<u32>());
        map.uint("from", self.from);
        map.array("items", self.items.count, self.items.values);
        if let Some(progress) = &self.progress {
            // Numbers and texts: nothing in it can fail to serialise.
            map.raw("progress", &to_vec(progress).unwrap_or_else(|_| vec![0x80]));
        }
        match &self.end {
            Some(Ok(())) => map.yes("end"),
            Some(Err(fault)) => fault.write(&mut map),
            None => {}
        }
        out
    }

    /// Reads the result of `$next`.
    ///
    /// # Errors
    /// [`CodecError`] says what is wrong with it.
    pub fn read(result: Raw<'a>) -> Result<Self, CodecError> {
        let mut from = Once::new("from");
        let mut items = Once::new("items");
        let mut progress = Once::new("progress");
        let mut end = Once::new("end");
        let mut error = Once::new("error");
        for field in Fields::of(result)? {
            let (key, value) = field?;
            match key {
                "from" => from.set(value.uint()?)?,
                "items" => items.set(Items::read(value)?)?,
                "progress" => progress.set(read_progress(value)?)?,
                "end" => end.set(value.bool()?)?,
                "error" => error.set(Fault::read(value)?)?,
                _ => {}
            }
        }
        let end = match (error.get(), end.get()) {
            (Some(fault), _) => Some(Err(fault)),
            (None, Some(true)) => Some(Ok(())),
            (None, _) => None,
        };
        let items = items.get().unwrap_or(Items::NONE);
        Ok(Self { from: from.need()?, items, progress: progress.get(), end })
    }
}

fn read_progress(raw: Raw<'_>) -> Result<Progress, CodecError> {
    Fields::check(raw)?;
    raw.to()
}

#[cfg(test)]
mod tests {
    use super::super::{Code, Reply};
    use super::*;

    fn result(reply: &[u8]) -> Raw<'_> {
        match Reply::decode(reply) {
            Ok(Reply::Result(result)) => result,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_batch_survives_the_wire() {
        let progress = Progress { done: 3, total: Some(9), message: Some("reading".into()) };
        for (count, values, progress, end) in [
            (0, &[][..], None, None),
            (3, &[1, 0xa1, b'x', 0x92, 1, 2], Some(progress), Some(Ok(()))),
            (1, &[0xc0], None, Some(Err(Fault::new(Code::Failed, "torn")))),
        ] {
            let batch = Batch { from: 7, items: Items::new(count, values), progress, end };
            let reply = batch.encode_reply();
            let read = Batch::read(result(&reply)).unwrap();
            assert_eq!(read, batch);
            assert_eq!(read.items.iter().count(), read.items.len());
        }
    }

    #[test]
    fn what_is_put_survives_the_wire() {
        let items = Items::new(2, &[1, 2]);
        for put in [
            Put { stream: "s", from: None, items: Items::NONE, end: false, keep_ms: None },
            Put { stream: "s", from: Some(300), items, end: true, keep_ms: Some(5) },
        ] {
            let params = put.encode();
            assert_eq!(Put::read(Raw::new(&params).unwrap()), Ok(put));
        }
    }

    #[test]
    fn a_reply_that_opens_a_stream_is_neither_result_nor_error() {
        let opened = Opened { id: "k3", credit: Some(64) };
        let bytes = Reply::encode_stream(&opened).unwrap();
        assert_eq!(Reply::decode(&bytes), Ok(Reply::Stream(opened)));
        let both = to_vec(&serde_json::json!({"v": 1, "result": 1, "stream": {"id": "k3"}})).unwrap();
        assert!(Reply::decode(&both).is_err());
    }

    #[test]
    fn garbage_is_refused() {
        for params in [
            serde_json::json!(null),
            serde_json::json!(["s", 1]),
            serde_json::json!({"from": 1}),
            serde_json::json!({"stream": 7}),
            serde_json::json!({"stream": "s", "from": -1}),
            serde_json::json!({"stream": "s", "from": "0"}),
        ] {
            let bytes = to_vec(&params).unwrap();
            let raw = Raw::new(&bytes).unwrap();
            assert!(Next::read(raw).is_err(), "{params}");
            assert!(Put::read(raw).is_err(), "{params}");
        }
        let bytes = to_vec(&serde_json::json!({"stream": "s", "items": {"a": 1}})).unwrap();
        assert!(Put::read(Raw::new(&bytes).unwrap()).is_err());
    }
}
