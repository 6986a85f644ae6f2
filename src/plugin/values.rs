//! What methods may take and give.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::Outcome;
use super::schema;
use super::stream::{Input, Items, Line, Source};
use crate::wire::{Code, CodecError, Fault, Raw, Reply, Schema, to_vec};

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
        Reply::encode_result(&self).map_err(|error| no_result(&error))
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

fn no_result(error: &CodecError) -> Fault {
    Fault::new(Code::Failed, format!("the result: {error}"))
}
