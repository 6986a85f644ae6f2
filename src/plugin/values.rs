//! What methods may take and give.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::Outcome;
use super::schema;
use crate::wire::{Code, Fault, Raw, Reply, Schema};

/// What a method may take: anything serde can read.
pub trait Argument: Sized + Send + 'static {
    /// What it looks like; `None` where it may be anything.
    #[doc(hidden)]
    fn schema() -> Option<Schema>;

    /// Reads it from the parameters.
    ///
    /// # Errors
    /// `bad_params` where they are something else.
    #[doc(hidden)]
    fn read(params: Raw<'_>) -> Result<Self, Fault>;
}

impl<A: DeserializeOwned + Send + 'static> Argument for A {
    fn schema() -> Option<Schema> {
        schema::of::<A>()
    }

    fn read(params: Raw<'_>) -> Result<Self, Fault> {
        params.to().map_err(|error| Fault::new(Code::BadParams, error.to_string()))
    }
}

/// What a method may give: anything serde can write.
pub trait Output: Sized + 'static {
    /// What it looks like; `None` where that is not known.
    #[doc(hidden)]
    fn schema() -> Option<Schema>;

    /// The whole reply.
    ///
    /// # Errors
    /// `failed` where it does not serialise.
    #[doc(hidden)]
    fn into_reply(self) -> Outcome;
}

impl<R: Serialize + 'static> Output for R {
    fn schema() -> Option<Schema> {
        schema::of_plain::<R>()
    }

    fn into_reply(self) -> Outcome {
        Reply::encode_result(&self).map_err(|error| Fault::new(Code::Failed, format!("the result: {error}")))
    }
}
