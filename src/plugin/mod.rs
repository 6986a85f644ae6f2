//! For plugin authors: functions in, a served endpoint out.
//!
//! Write a function from a typed argument to a `Result` of a typed value, give it a name and a line of
//! documentation, call [`Plugin::serve`]. Concurrency, deadlines, cancellation, the built-in methods, surveys
//! and draining are done here; the supervisor and hosts are not known here.
//!
//! ```no_run
//! use plugbus::plugin::{Failure, Plugin, ServeError};
//!
//! fn greet(name: String) -> Result<String, Failure> {
//!     Ok(format!("Hello, {name}!"))
//! }
//!
//! fn main() -> Result<(), ServeError> {
//!     Plugin::new("hello", "0.1.0").method("greet", "Greets somebody by name.", greet).serve()
//! }
//! ```
//!
//! # Theory of operation
//! One task takes requests off the socket ([`Server`]), refuses what may not run, and starts a task for each
//! that may: an async handler runs there, a plain one on a thread of its own. The `Ledger` counts them all. A
//! thread of its own answers surveys from the ledger, so that no handler, however busy, can keep the plugin from
//! saying that it lives. To drain is to take no more calls, wait for the ledger to be empty, and return.

mod admission;
mod builder;
mod builtin;
mod call;
mod call_name;
mod cancel;
mod context;
mod environment;
mod error;
mod handler;
mod here;
mod home;
mod join;
mod ledger;
mod nested;
mod orphan;
mod pulse;
mod schema;
mod server;
mod stream;
mod tally;
mod values;

pub use builder::Plugin;
pub use context::Context;
pub use error::{Failure, ServeError};
pub use handler::{AsyncHandler, Handler};
pub use join::{Joined, JoinedBlocking};
pub use nested::Nested;
pub use server::{Server, Stopper};
pub use stream::{Closed, Input, Items, Sender};
pub use values::{Argument, Output};
