//! `plugbus scale`: more or fewer instances of a plugin.

use serde_json::json;

use super::order;
use crate::args::Scale;
use crate::error::CommandError;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Scale) -> Result<(), CommandError> {
    let Scale { name, replicas, waiting } = args;
    let scale = json!({"name": name, "replicas": replicas, "wait": !waiting.no_wait});
    order::give(settings, "scale", &scale, waiting)
}
