//! Users other than the supervisor's on the bus: those whom plugins are open to, and those as whom they run.

use super::Dispatcher;
use crate::bus::Visitors;
use crate::supervisor::PluginSpec;

impl Dispatcher {
    /// Lets those in whom the plugins as they are now need, and nobody else.
    pub(super) fn let_in(&self) {
        let visitors = visitors(&self.plugins);
        self.survey.guests.replace(visitors.residents.iter().copied());
        if let Err(error) = self.workshop.dir.open_to(&visitors) {
            self.journal.own(&format!("no other user can use this bus: {error}"));
        }
    }
}

fn visitors(plugins: &[PluginSpec]) -> Visitors {
    let own = rustix::process::geteuid().as_raw();
    let others = |user: &u32| *user != own && *user != 0;
    let accounts = plugins.iter().filter_map(|spec| spec.confinement.account.as_ref());
    Visitors {
        callers: plugins.iter().flat_map(|spec| spec.allow.iter().copied()).filter(others).collect(),
        residents: accounts.map(|account| account.uid).filter(others).collect(),
    }
}
