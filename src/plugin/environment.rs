//! Who the plugin is and where it listens, by what its process was given.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ServeError;
use crate::bus::{ALLOWED, BusDir, Endpoint, Guests, new_instance};
use crate::wire::{Protocols, check_plugin_name};

/// Where a plugin process is to be served.
pub(super) struct Environment {
    pub(super) name: String,
    pub(super) instance: String,
    pub(super) call: Endpoint,
    /// The directory of its bus.
    pub(super) bus: PathBuf,
    /// Where the supervisor asks; `None` for a plugin that was started by hand.
    pub(super) survey: Option<Endpoint>,
    /// Users who may call it beside its own.
    pub(super) guests: Guests,
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
        check_protocol(&need(PROTOCOL_OLDEST)?, env::var(PROTOCOL_NEWEST).ok().as_deref())?;
        let name = need("PLUGBUS_NAME")?;
        check_plugin_name(&name)?;
        let endpoint = |name| need(name)?.parse().map_err(ServeError::Bus);
        let call: Endpoint = endpoint("PLUGBUS_CALL_URL")?;
        let bus = env::var_os("PLUGBUS_BUS_DIR").map_or_else(|| directory_of(&call).to_owned(), PathBuf::from);
        Ok(Self {
            name,
            instance: need("PLUGBUS_INSTANCE")?,
            call,
            bus,
            survey: Some(endpoint("PLUGBUS_SURVEY_URL")?),
            guests: guests()?,
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
        Ok(Self {
            name: own_name.to_owned(),
            instance,
            call,
            bus: bus.path().to_owned(),
            survey: None,
            guests: Guests::default(),
            orphan_timeout: None,
            own_bus: Some(bus),
        })
    }
}

const PROTOCOL_OLDEST: &str = "PLUGBUS_PROTOCOL";
/// Older supervisors do not set it: they speak one version.
const PROTOCOL_NEWEST: &str = "PLUGBUS_PROTOCOL_MAX";

fn check_protocol(oldest: &str, newest: Option<&str>) -> Result<(), ServeError> {
    let name = PROTOCOL_OLDEST;
    let number = |text: &str| {
        let problem = || format!("is {text:.32?}, not the number of a protocol");
        text.parse().map_err(|_| ServeError::Environment { name, problem: problem() })
    };
    let theirs = Protocols::new(number(oldest)?, newest.map(number).transpose()?);
    if Protocols::OWN.common(theirs).is_some() {
        return Ok(());
    }
    let advice = match theirs.is_newer_than(Protocols::OWN) {
        true => "rebuild the plugin with a newer plugbus",
        false => "upgrade the supervisor",
    };
    let problem = format!("is {oldest}: the supervisor speaks {theirs}, this plugin {}; {advice}", Protocols::OWN);
    Err(ServeError::Environment { name, problem })
}

/// The bus directory that an endpoint is in.
pub(super) fn directory_of(endpoint: &Endpoint) -> &Path {
    endpoint.path().parent().unwrap_or(endpoint.path())
}

fn guests() -> Result<Guests, ServeError> {
    let Some(text) = env::var_os(ALLOWED) else { return Ok(Guests::default()) };
    let users =
        text.to_str().and_then(|text| text.split(',').map(|user| user.parse().ok()).collect::<Option<Vec<_>>>());
    let problem = || format!("is {text:?}, not numbers of users with commas between");
    users.map(Guests::of).ok_or_else(|| ServeError::Environment { name: ALLOWED, problem: problem() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_that_speaks_more_will_do_and_another_is_named() {
        for (oldest, newest) in [("1", None), ("1", Some("1")), ("1", Some("7")), ("0", Some("1"))] {
            assert!(check_protocol(oldest, newest).is_ok(), "{oldest} {newest:?}");
        }
        for (oldest, newest, words) in [
            ("2", None, "is 2: the supervisor speaks protocol 2, this plugin protocol 1; rebuild the plugin"),
            (
                "2",
                Some("3"),
                "is 2: the supervisor speaks protocols 2 to 3, this plugin protocol 1; rebuild the plugin",
            ),
            ("0", None, "the supervisor speaks protocol 0, this plugin protocol 1; upgrade the supervisor"),
            ("one", None, "is \"one\", not the number of a protocol"),
            ("", None, "is \"\", not the number of a protocol"),
        ] {
            let problem = check_protocol(oldest, newest).unwrap_err().to_string();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
