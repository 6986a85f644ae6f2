//! A call and its answer.

use std::time::Duration;

use serde::Serialize;

use super::codec::{CodecError, Raw};
use super::fields::{Fields, Once};
use super::map_writer::MapWriter;
use super::{Fault, Opened, PROTOCOL};

/// What a call that names no `ttl_ms` is given: 30 s.
pub const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// The longest `ttl_ms` that is believed: one day.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// What a request carries besides its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The method to run.
    pub method: &'a str,
    /// What is left of the caller's deadline; at most [`MAX_TTL`], in whole milliseconds.
    pub ttl: Duration,
    /// A name for this call, chosen by the caller, so that it can be cancelled.
    pub id: Option<&'a str>,
    /// The one instance that is meant; any other answers `stale_instance`.
    pub instance: Option<&'a str>,
    /// Anything the two sides agree on beside the protocol, as one map.
    pub meta: Option<Raw<'a>>,
}

impl<'a> RequestHead<'a> {
    /// A request for a method with a time to live and nothing else.
    #[must_use]
    pub fn new(method: &'a str, ttl: Duration) -> Self {
        Self { method, ttl, id: None, instance: None, meta: None }
    }

    /// Encodes the request with its parameters.
    ///
    /// # Errors
    /// [`CodecError::Mismatch`] where the parameters' own serialisation fails.
    pub fn encode<P: Serialize + ?Sized>(&self, params: &P) -> Result<Vec<u8>, CodecError> {
        self.write(|map| map.value("params", params))
    }

    /// Encodes the request with parameters that are MessagePack already.
    #[must_use]
    pub fn encode_raw(&self, params: Raw<'_>) -> Vec<u8> {
        let written = self.write(|map| {
            map.raw("params", params.bytes());
            Ok(())
        });
        // Nothing was left to serialise.
        written.unwrap_or_default()
    }

    fn write(
        &self,
        params: impl FnOnce(&mut MapWriter<'_>) -> Result<(), CodecError>,
    ) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(192);
        let optional = [self.id.is_some(), self.instance.is_some(), self.meta.is_some()];
        let fields = 4 + optional.iter().map(|given| u32::from(*given)).sum::<u32>();
        let mut map = MapWriter::new(&mut out, fields);
        map.uint("v", PROTOCOL.into());
        map.str("method", self.method);
        params(&mut map)?;
        map.uint("ttl_ms", self.ttl.min(MAX_TTL).as_millis().try_into().unwrap_or(u64::MAX));
        if let Some(id) = self.id {
            map.str("id", id);
        }
        if let Some(instance) = self.instance {
            map.str("instance", instance);
        }
        if let Some(meta) = self.meta {
            map.raw("meta", meta.bytes());
        }
        Ok(out)
    }
}

/// A request as it was received; borrows from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Everything but the parameters.
    pub head: RequestHead<'a>,
    /// The parameters; nil where there are none.
    pub params: Raw<'a>,
}

impl<'a> Request<'a> {
    /// Decodes and checks a request. Unknown fields are passed over.
    ///
    /// # Errors
    /// [`CodecError::Version`] for another protocol, else what is wrong with the message.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut version = Once::new("v");
        let mut method = Once::new("method");
        let mut params = Once::new("params");
        let mut ttl = Once::new("ttl_ms");
        let mut id = Once::new("id");
        let mut instance = Once::new("instance");
        let mut meta = Once::new("meta");
        let mut read = |key, value: Raw<'a>| match key {
            "v" => version.set(value.uint()?),
            "method" => method.set(value.str()?),
            "params" => params.set(value),
            "ttl_ms" => ttl.set(Duration::from_millis(value.uint()?)),
            "id" => id.set(value.str()?),
            "instance" => instance.set(value.str()?),
            "meta" => meta.set(value),
            _ => Ok(()),
        };
        // In another version the other fields may be of other types: that it is another one comes first.
        let mut wrong = Ok(());
        for field in Fields::of_message(bytes)? {
            let (key, value) = field?;
            wrong = wrong.and(read(key, value));
        }
        check_version(version.need()?)?;
        wrong?;
        let head = RequestHead {
            method: method.need()?,
            ttl: ttl.get().unwrap_or(DEFAULT_TTL).min(MAX_TTL),
            id: id.get(),
            instance: instance.get(),
            meta: meta.get(),
        };
        Ok(Self { head, params: params.get().unwrap_or(Raw::NIL) })
    }
}

/// A reply as it was received: the result, a stream, or the plugin's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The method succeeded; nil where it returns nothing.
    Result(Raw<'a>),
    /// The method takes or gives its items one by one.
    Stream(Opened<'a>),
    /// The plugin refused the call or the method failed.
    Error(Fault),
}

impl<'a> Reply<'a> {
    /// Decodes and checks a reply.
    ///
    /// # Errors
    /// [`CodecError`] where the message is no reply of this protocol.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut version = Once::new("v");
        let mut result = Once::new("result");
        let mut stream = Once::new("stream");
        let mut error = Once::new("error");
        for field in Fields::of_message(bytes)? {
            let (key, value) = field?;
            match key {
                "v" => version.set(value.uint()?)?,
                "result" => result.set(value)?,
                "stream" => stream.set(Opened::read(value)?)?,
                "error" => error.set(Fault::read(value)?)?,
                _ => {}
            }
        }
        check_version(version.need()?)?;
        match (result.get(), stream.get(), error.get()) {
            (result, None, None) => Ok(Self::Result(result.unwrap_or(Raw::NIL))),
            (None, Some(opened), None) => Ok(Self::Stream(opened)),
            (None, None, Some(fault)) => Ok(Self::Error(fault)),
            (Some(_), _, Some(_)) => Err(CodecError::Expected("a result or an error, not both")),
            _ => Err(CodecError::Expected("a stream alone")),
        }
    }

    /// Encodes the reply of a method that succeeded.
    ///
    /// # Errors
    /// [`CodecError::Mismatch`] where the result's own serialisation fails.
    pub fn encode_result<R: Serialize + ?Sized>(result: &R) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(64);
        let mut map = MapWriter::new(&mut out, 2);
        map.uint("v", PROTOCOL.into());
        map.value("result", result)?;
        Ok(out)
    }

    /// As [`encode_result`](Self::encode_result) of a text, up to where that begins: nobody has to copy a large one.
    #[cfg(feature = "plugin")]
    pub(crate) fn encode_before_text(length: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let mut map = MapWriter::new(&mut out, 2);
        map.uint("v", PROTOCOL.into());
        map.before_str("result", length);
        out
    }

    /// Encodes the reply of a call that has opened a stream.
    ///
    /// # Errors
    /// [`CodecError::Mismatch`], in theory: all its fields serialise.
    pub fn encode_stream(opened: &Opened<'_>) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(96);
        let mut map = MapWriter::new(&mut out, 2);
        map.uint("v", PROTOCOL.into());
        map.value("stream", opened)?;
        Ok(out)
    }

    /// Encodes the reply of a call that was refused or failed.
    #[must_use]
    pub fn encode_error(fault: &Fault) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let mut map = MapWriter::new(&mut out, 2);
        map.uint("v", PROTOCOL.into());
        fault.write(&mut map);
        out
    }
}

pub(super) fn check_version(version: u64) -> Result<(), CodecError> {
    if version == u64::from(PROTOCOL) { Ok(()) } else { Err(CodecError::Version(version)) }
}

#[cfg(test)]
mod tests {
    use super::super::Code;
    use super::*;

    fn map(json: serde_json::Value) -> Vec<u8> {
        super::super::to_vec(&json).unwrap()
    }

    #[test]
    fn a_request_survives_the_wire() {
        let mut head = RequestHead::new("revert", Duration::from_millis(5000));
        head.id = Some("7");
        head.instance = Some("k3");
        let bytes = head.encode("stressed").unwrap();
        let request = Request::decode(&bytes).unwrap();
        assert_eq!(request.head, head);
        assert_eq!(request.params.to::<&str>(), Ok("stressed"));
    }

    #[test]
    fn what_a_request_must_have() {
        assert_eq!(Request::decode(&map(serde_json::json!({"v": 1}))), Err(CodecError::Missing("method")));
        assert_eq!(Request::decode(&map(serde_json::json!({"method": "x"}))), Err(CodecError::Missing("v")));
        assert_eq!(Request::decode(&map(serde_json::json!({"v": 2, "method": "x"}))), Err(CodecError::Version(2)));
        assert_eq!(Request::decode(&map(serde_json::json!(["v", 1]))), Err(CodecError::Expected("a map with names")));
        let twice = [&[0x83, 0xa1, b'v', 1, 0xa1, b'v', 1][..], b"\xa6method\xa1x"].concat();
        assert_eq!(Request::decode(&twice), Err(CodecError::Twice("v")));
    }

    #[test]
    fn what_a_request_may_leave_out() {
        let bytes = map(serde_json::json!({"v": 1, "method": "x", "from_the_future": [1, {"a": 2}]}));
        let request = Request::decode(&bytes).unwrap();
        assert_eq!((request.params, request.head.ttl), (Raw::NIL, DEFAULT_TTL));
        let forever = map(serde_json::json!({"v": 1, "method": "x", "ttl_ms": u64::MAX}));
        assert_eq!(Request::decode(&forever).unwrap().head.ttl, MAX_TTL);
    }

    #[test]
    fn replies_survive_the_wire() {
        let bytes = Reply::encode_result(&[1, 2]).unwrap();
        assert!(matches!(Reply::decode(&bytes), Ok(Reply::Result(raw)) if raw.to::<[u8; 2]>() == Ok([1, 2])));
        let mut fault = Fault::new(Code::NoMethod, "no method \"rev\"");
        fault.data = Some(vec![0x01]);
        assert_eq!(Reply::decode(&Reply::encode_error(&fault)), Ok(Reply::Error(fault)));
        assert_eq!(Reply::decode(&map(serde_json::json!({"v": 1}))), Ok(Reply::Result(Raw::NIL)));
        assert!(Reply::decode(&map(serde_json::json!({"v": 1, "result": 1, "error": {}}))).is_err());
    }
}
