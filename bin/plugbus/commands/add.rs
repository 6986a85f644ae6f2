//! `plugbus add`: a plugin that no configuration has.

use std::env;

use plugbus::config::find_program;
use plugbus::supervisor::PluginRequest;
use serde_json::json;

use super::order;
use crate::args::Add;
use crate::error::CommandError;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings, args: &Add) -> Result<(), CommandError> {
    let mut plugin = PluginRequest { name: args.name.clone(), ..PluginRequest::default() };
    if let [program, arguments @ ..] = args.command.as_slice() {
        // As the caller would find it: the supervisor runs elsewhere, and perhaps with another PATH.
        let here = env::current_dir().map_err(CommandError::system("find out the current directory"))?;
        let program = find_program(program, &here).map_err(CommandError::Usage)?;
        plugin.command = vec![program.to_string_lossy().into_owned()];
        plugin.command.extend_from_slice(arguments);
        plugin.cwd = Some(here);
    }
    plugin.env = args.env.iter().cloned().collect();
    plugin.replicas = args.replicas;
    plugin.restart = args.restart.map(Into::into);
    order::give(settings, "add", &json!({"plugin": plugin, "wait": !args.waiting.no_wait}), &args.waiting)
}
