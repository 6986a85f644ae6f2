//! What methods may take and give.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::Outcome;
use super::schema;
use super::stream::{Input, Items, Line, Source};
use crate::bus::Outgoing;
use crate::wire::{Code, CodecError, Fault, LARGE, MAX_MESSAGE, Raw, Reply, Schema, to_vec};

/// The reply of a method that succeeded.
#[derive(Debug)]
pub struct Encoded {
    /// All of it, or what stands before the text.
    pub(super) head: Vec<u8>,
    /// A large text that was the result, or nothing.
    pub(super) text: Outgoing<'static>,
}

impl Encoded {
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.text.len()
    }
}

impl From<Vec<u8>> for Encoded {
    fn from(head: Vec<u8>) -> Self {
        Self { head, text: Outgoing::default() }
    }
}

/// What a method may take: anything serde can read, or [`Input`], item by item.
pub trait Argument: Sized + Send + 'static {
    /// Whether it comes item by item.
    #[doc(hidden)]
    const STREAMS: bool = false;

    /// What it looks like; `None` where it may be anything.
    #[doc(hidden)]
    fn schema() -> Option<Schema>;

    /// Reads it from the parameters.
    ///
    /// # Errors
    /// `bad_params` where they are something else.
    #[doc(hidden)]
    fn read(params: Raw<'_>) -> Result<Self, Fault>;

    /// Takes it from an open stream.
    #[doc(hidden)]
    fn receive(line: Arc<Line>) -> Option<Self> {
        drop(line);
        None
    }
}

impl<A: DeserializeOwned + Send + 'static> Argument for A {
    fn schema() -> Option<Schema> {
        schema::of::<A>()
    }

    fn read(params: Raw<'_>) -> Result<Self, Fault> {
        params.to().map_err(|error| Fault::new(Code::BadParams, error.to_string()))
    }
}

impl<T: DeserializeOwned + 'static> Argument for Input<T> {
    const STREAMS: bool = true;

    fn schema() -> Option<Schema> {
        schema::of::<T>()
    }

    fn read(_: Raw<'_>) -> Result<Self, Fault> {
        Err(Fault::new(Code::BadParams, "the method takes its items one by one"))
    }

    fn receive(line: Arc<Line>) -> Option<Self> {
        Some(Self::new(line))
    }
}

/// What a method may give: anything serde can write, or [`Items`], one by one.
///
/// A text of 64 KiB or more is sent without a copy of it: a `String`, or an `Arc<str>` that the plugin goes on holding.
pub trait Output: Sized + 'static {
    /// Whether it goes item by item.
    #[doc(hidden)]
    const STREAMS: bool = false;

    /// What it looks like; `None` where that is not known.
    #[doc(hidden)]
    fn schema() -> Option<Schema>;

    /// The whole reply.
    ///
    /// # Errors
    /// `failed` where it does not serialise.
    #[doc(hidden)]
    fn into_reply(self) -> Outcome;

    /// Where its items come from.
    ///
    /// # Errors
    /// `failed` where it does not serialise.
    #[doc(hidden)]
    fn into_source(self) -> Result<Source, Fault>;
}

impl<R: Serialize + 'static> Output for R {
    fn schema() -> Option<Schema> {
        schema::of_plain::<R>()
    }

    fn into_reply(self) -> Outcome {
        let mut result = Some(self);
        if let Some(reply) = as_it_is(&mut result) {
            return Ok(reply);
        }
        // Written as what is in it.
        Reply::encode_result(&result).map(Encoded::from).map_err(|error| no_result(&error))
    }

    fn into_source(self) -> Result<Source, Fault> {
        to_vec(&self).map(Source::value).map_err(|error| no_result(&error))
    }
}

impl<T: 'static> Output for Items<T> {
    const STREAMS: bool = true;

    fn schema() -> Option<Schema> {
        schema::of_plain::<T>()
    }

    fn into_reply(self) -> Outcome {
        Err(Fault::new(Code::Failed, "the method gives its items one by one"))
    }

    fn into_source(self) -> Result<Source, Fault> {
        Ok(Items::into_source(self))
    }
}

/// Takes a large text out, for which the lane needs no copy.
fn as_it_is(result: &mut dyn Any) -> Option<Encoded> {
    let is_worth_it = |text: &str| (LARGE..=MAX_MESSAGE).contains(&text.len());
    let text = if let Some(text) = result.downcast_mut::<Option<String>>() {
        Outgoing::Owned(text.take_if(|text| is_worth_it(text))?.into_bytes())
    } else {
        let text = result.downcast_mut::<Option<Arc<str>>>()?;
        Outgoing::Shared(text.take_if(|text| is_worth_it(text))?)
    };
    let length = text.len().try_into().unwrap_or(u32::MAX);
    Some(Encoded { head: Reply::encode_before_text(length), text })
}

fn no_result(error: &CodecError) -> Fault {
    Fault::new(Code::Failed, format!("the result: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_text_is_not_copied_and_its_reply_is_the_same() {
        for length in [1, LARGE - 1, LARGE, 3 * LARGE, MAX_MESSAGE + 1] {
            let text = "x".repeat(length);
            let whole = Reply::encode_result(&text).unwrap();
            let is_as_it_was = |at: *const u8, Encoded { head, text }: Encoded| {
                assert_eq!(text.as_ptr() == at, (LARGE..=MAX_MESSAGE).contains(&length), "{length}");
                assert!([&head[..], &text].concat() == whole, "{length}");
            };
            let shared: Arc<str> = text.as_str().into();
            is_as_it_was(shared.as_ptr(), Arc::clone(&shared).into_reply().unwrap());
            is_as_it_was(text.as_ptr(), text.into_reply().unwrap());
        }
    }

    #[test]
    fn what_may_be_absent_is_written_as_it_is() {
        for (result, text) in [(None, None), (Some("a".repeat(LARGE)), Some("a".repeat(LARGE)))] {
            let whole = Reply::encode_result(&text).unwrap();
            assert_eq!(result.into_reply().unwrap().head, whole);
        }
    }
}
