//! What happens before the first plugin is started: what a dead supervisor left behind is cleared away.
//!
//! Only what this bus's supervisor started is ever touched, and [`records`] say what that is: plugins that people
//! started by hand have cards and no record, and are left alone.

mod leftovers;
mod records;

pub(super) use leftovers::clear_leftovers;
pub(super) use records::InstanceRecord;
