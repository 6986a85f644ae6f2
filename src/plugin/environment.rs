//! Who the plugin is and where it listens, by what its process was given.

use std::env;
use std::time::Duration;

use super::ServeError;
use crate::bus::{BusDir, Endpoint, new_instance};
use crate::wire::{PROTOCOL, check_plugin_name};

/// Where a plugin process is to be served.
pub(super) struct Environment {
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) call: Endpoint,
    /// Where the supervisor asks; `None` for a plugin that was started by hand.
    pub(super) survey: Option<Endpoint>,
    /// How long it serves on without a supervisor; `None` for ever.
    pub(super) orphan_timeout: Option<Duration>,
    /// The bus a plugin that was started by hand joins by itself.
    pub(super) own_bus: Option<BusDir>,
}

impl Environment {
    /// Reads the variables of the protocol; without them the plugin was started by hand.
    pub(super) fn read(own_name: &str) -> Result<Self, ServeError> {
        if env::var_os("PLUGBUS_CALL_URL").is_none() {
            return Self::by_hand(own_name);
        }
        let protocol = need("PLUGBUS_PROTOCOL")?;
        if protocol != PROTOCOL.to_string() {
            let problem = format!("is {protocol}, this plugin speaks protocol {PROTOCOL}: rebuild one of the two");
            return Err(ServeError::Environment { name: "PLUGBUS_PROTOCOL", problem });
        }
        let name = need("PLUGBUS_NAME")?;
        check_plugin_name(&name)?;
        let endpoint = |name| need(name)?.parse().map_err(ServeError::Bus);
        Ok(Self {
            name,
            instance: need("PLUGBUS_INSTANCE")?,
            call: endpoint("PLUGBUS_CALL_URL")?,
            survey: Some(endpoint("PLUGBUS_SURVEY_URL")?),
            orphan_timeout: orphan_timeout()?,
            own_bus: None,
        })
    }

    fn by_hand(own_name: &str) -> Result<Self, ServeError> {
        check_plugin_name(own_name)?;
        let bus = env::var("PLUGBUS_BUS").unwrap_or_else(|_| "default".into());
        let bus = BusDir::locate(&bus)?;
        bus.create()?;
        let instance = new_instance();
        let call = bus.endpoint(own_name, &instance)?;
        Ok(Self { name: own_name.to_owned(), instance, call, survey: None, orphan_timeout: None, own_bus: Some(bus) })
    }
}

fn orphan_timeout() -> Result<Option<Duration>, ServeError> {
    const NAME: &str = "PLUGBUS_ORPHAN_TIMEOUT_MS";
    let Some(text) = env::var_os(NAME) else { return Ok(None) };
    match text.to_str().and_then(|text| text.parse().ok()) {
        Some(millis) => Ok(Some(Duration::from_millis(millis))),
        None => {
            Err(ServeError::Environment { name: NAME, problem: format!("is {text:?}, not a number of milliseconds") })
        }
    }
}

fn need(name: &'static str) -> Result<String, ServeError> {
    env::var(name).map_err(|error| {
        let problem = match error {
            env::VarError::NotPresent => "is missing; the supervisor sets it together with PLUGBUS_CALL_URL".into(),
            env::VarError::NotUnicode(_) => "is not UTF-8".into(),
        };
        ServeError::Environment { name, problem }
    })
}
