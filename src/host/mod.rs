//! For programs that call plugins: find them by their cards, call them straight.
//!
//! [`Bus`] is async and needs no particular runtime; [`blocking::Bus`] is its twin for programs without one. How
//! plugins are started is not known here.
//!
//! ```no_run
//! # async fn f() -> Result<(), plugbus::host::CallError> {
//! let bus = plugbus::host::Bus::open()?;
//! let reverted: String = bus.call("revert", "Live on time, emit no evil").await?;
//! # Ok(()) }
//! ```

pub mod blocking;
mod bus;
mod call_id;
mod desk;
mod discovery;
mod error;
mod links;
mod request;
mod span;
mod stream;
#[cfg(test)]
#[cfg(feature = "plugin")]
mod tests;

pub use bus::Bus;
pub use error::CallError;
pub use request::Request;
pub use stream::{Piece, Reader, Writer};
