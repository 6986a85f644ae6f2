//! Protocol 1: the messages, their encoding, their limits and their errors.
//!
//! Knows nothing of sockets, clocks or tokio; `docs/protocol.md` is the same thing in prose and bytes. A
//! message is a MessagePack map with names. Start at [`Request`] and [`Question`].

mod call;
mod codec;
mod fault;
mod fields;
mod map_writer;
mod method;
mod name;
mod nearest;
mod shown;
mod stats;
mod stream;
mod survey;
mod traceparent;
mod trail;
mod version;

pub use call::{DEFAULT_TTL, MAX_TTL, Reply, Request, RequestHead};
#[cfg(any(target_os = "linux", feature = "host", feature = "plugin"))]
pub(crate) use codec::LARGE;
pub use codec::{CodecError, MAX_DEPTH, MAX_MESSAGE, Raw, from_slice, to_vec};
pub use fault::{Code, Fault};
pub use method::{MethodInfo, Schema, Streams, builtin};
pub use name::{InvalidName, MAX_METHOD, MAX_NAME, check_method, check_plugin_name};
#[cfg(feature = "config")]
pub(crate) use nearest::distance;
pub use nearest::nearest;
pub use shown::Shown;
pub use stats::{Latency, MethodStats, Stats};
pub use stream::{Batch, Close, IDLE, Items, Next, Opened, Progress, Put, Taken};
pub use survey::{Answer, Info, Load, Phase, Question, Want};
pub use traceparent::{InvalidTraceparent, Traceparent};
pub use trail::{MAX_CALL_DEPTH, Trail};
pub use version::Protocols;

/// The protocol version spoken here, as in `PLUGBUS_PROTOCOL` and the field `v`.
pub const PROTOCOL: u32 = 1;
