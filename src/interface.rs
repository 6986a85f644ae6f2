//! One trait for the author of a plugin and its callers, held to it by the compiler.
//!
//! Write the trait with [`#[interface]`](interface); the author implements it, and callers get a client with the same
//! methods. What is changed on one side only does not compile on the other.
//!
//! ```no_run
//! use plugbus::plugin::{Failure, ServeError};
//!
//! #[plugbus::interface]
//! pub trait Text {
//!     /// Reverses a text.
//!     #[idempotent]
//!     #[typical("1ms")]
//!     fn revert(&self, text: String) -> Result<String, Failure>;
//!
//!     /// Breaks a text into lines.
//!     async fn wrap(
//!         &self,
//!         text: String,
//!         /// How many characters a line may have.
//!         width: usize,
//!     ) -> Result<Vec<String>, Failure>;
//! }
//!
//! // The author's side:
//! struct Mine;
//!
//! impl Text for Mine {
//!     fn revert(&self, text: String) -> Result<String, Failure> {
//!         Ok(text.chars().rev().collect())
//!     }
//!     async fn wrap(&self, text: String, width: usize) -> Result<Vec<String>, Failure> {
//!         let letters: Vec<char> = text.chars().collect();
//!         Ok(letters.chunks(width.max(1)).map(|line| line.iter().collect()).collect())
//!     }
//! }
//!
//! fn serve() -> Result<(), ServeError> {
//!     Mine.into_plugin("0.1.0").serve()
//! }
//!
//! // The caller's side:
//! fn call() -> Result<(), plugbus::host::CallError> {
//!     let text = BlockingTextClient::new(&plugbus::host::blocking::Bus::open()?);
//!     let lines: Vec<String> = text.wrap("Live on time", 4)?;
//!     Ok(())
//! }
//! ```
//!
//! # What it makes of a trait `Text`
//! - The trait itself. An `async fn` runs as [`Plugin::method_async`](crate::plugin::Plugin::method_async), a plain one as
//!   [`Plugin::method`](crate::plugin::Plugin::method). `into_plugin(version)` makes a plugin of an implementation,
//!   `add_to(plugin)` adds its methods to one that has others.
//! - `TextClient` and `BlockingTextClient`, with the same methods; what is a `String` may be given as anything that
//!   becomes one. `new(&bus)` calls the plugin named like the trait (`TextTools` is `text-tools`, or
//!   `#[interface(name = "...")]`), `plugin(name)` another one.
//! - What `plugbus describe` shows: comments, those of arguments too, and the schemas of arguments and results.
//!
//! One argument travels as itself, several as a map with their names, none as nil. An argument of type
//! [`Context`](crate::plugin::Context) is the call's own and not given by callers. Arguments and results are owned types
//! that serde can read and write.
//!
//! # Items one by one
//! A method that returns [`Items<T>`](crate::plugin::Items) gives callers a [`Reader<T>`](crate::host::Reader). One whose only
//! argument is an [`Input<T>`](crate::plugin::Input) takes none from callers and gives them both ends: a
//! [`Writer<T>`](crate::host::Writer) for what it takes, and a reader for its items, or for its result by
//! [`Reader::only`](crate::host::Reader::only).
//!
//! ```no_run
//! use plugbus::plugin::{Failure, Input, Items};
//!
//! #[plugbus::interface]
//! pub trait Text {
//!     /// Each line of a text.
//!     fn lines(&self, text: String) -> Result<Items<String>, Failure>;
//!     /// How many letters all texts have together.
//!     fn total(&self, texts: Input<String>) -> Result<usize, Failure>;
//! }
//!
//! fn call(text: &BlockingTextClient) -> Result<usize, plugbus::host::CallError> {
//!     let (mut texts, total) = text.total()?;
//!     for line in text.lines("Live on time,\nemit no evil")? {
//!         texts.send(&line?)?;
//!     }
//!     texts.end()?;
//!     total.only()
//! }
//! ```
//!
//! # What does not compile
//! An implementation that differs from the trait:
//!
//! ```compile_fail
//! # use plugbus::plugin::Failure;
//! #[plugbus::interface]
//! trait Text {
//!     fn revert(&self, text: String) -> Result<String, Failure>;
//! }
//! struct Mine;
//! impl Text for Mine {
//!     fn revert(&self, text: u64) -> Result<String, Failure> { todo!() }
//! }
//! ```
//!
//! A caller that differs from it:
//!
//! ```compile_fail
//! # use plugbus::{host::CallError, plugin::Failure};
//! #[plugbus::interface]
//! trait Text {
//!     fn revert(&self, text: String) -> Result<String, Failure>;
//! }
//! fn call(text: &BlockingTextClient) -> Result<u64, CallError> { text.revert("a") }
//! ```
//!
//! A result that callers could not read:
//!
//! ```compile_fail
//! # use plugbus::plugin::Failure;
//! #[plugbus::interface]
//! trait Text {
//!     fn version(&self) -> Result<&'static str, Failure>;
//! }
//! ```

pub use plugbus_macros::interface;
