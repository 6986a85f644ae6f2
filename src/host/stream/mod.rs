//! Methods that give or take their items one by one, as a caller sees them.
//!
//! `line` is one open stream and asks its plugin; [`Reader`] and [`Writer`] are its two ends, `blocking` their twins.
//! Nothing runs in the background: an item that nobody asks for is not made, beyond what the plugin is ahead.

pub(super) mod blocking;
mod line;
mod reader;
#[cfg(test)]
#[cfg(feature = "plugin")]
mod tests;
mod writer;

pub(super) use self::line::Line;
pub use self::reader::{Piece, Reader};
pub use self::writer::Writer;
