//! Where a unit stands, and where it may go from there.

use serde::{Deserialize, Serialize};

use crate::supervisor::policy::dependency::Standing;

/// What the supervisor observes of one supervised instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UnitState {
    /// Its process is being started or has not yet answered as ready.
    Starting,
    /// It answers surveys and takes calls.
    Ready,
    /// As ready, and at work on a call that takes long; that is no reason to disturb it.
    Busy,
    /// It said itself that it takes no more calls and will exit.
    Draining,
    /// It runs but missed its survey rounds, and is being killed for that.
    Silent,
    /// It answers but gets nowhere, long past the deadline of a call, and is being killed for that.
    Wedged,
    /// It was told to end and has not ended yet.
    Stopping,
    /// It ended and will be started again after a wait.
    BackingOff,
    /// It failed and its restart policy forbids another try.
    Failed,
    /// It does not run, and nobody wants it to.
    Stopped,
    /// It does not run, and is out of service until it is enabled or started by name.
    Disabled,
}

impl UnitState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 11] = [
        Self::Starting,
        Self::Ready,
        Self::Busy,
        Self::Draining,
        Self::Silent,
        Self::Wedged,
        Self::Stopping,
        Self::BackingOff,
        Self::Failed,
        Self::Stopped,
        Self::Disabled,
    ];

    /// The state as it is printed and sent, `backing-off` for instance.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Silent => "silent",
            Self::Wedged => "wedged",
            Self::Stopping => "stopping",
            Self::BackingOff => "backing-off",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Disabled => "disabled",
        }
    }

    /// Whether a process may exist in this state.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Ready | Self::Busy | Self::Draining | Self::Silent | Self::Wedged | Self::Stopping
        )
    }

    /// Whether callers can find it in this state.
    #[must_use]
    pub fn takes_calls(self) -> bool {
        matches!(self, Self::Ready | Self::Busy)
    }

    /// Whether it owes an answer to every survey.
    pub(in crate::supervisor) fn owes_answers(self) -> bool {
        matches!(self, Self::Ready | Self::Busy | Self::Draining)
    }

    /// What it means to those that depend on it, in that state and wanted or not.
    pub(in crate::supervisor) fn standing(self, wanted: bool) -> Standing {
        match self {
            Self::Ready | Self::Busy => Standing::Up,
            Self::Starting => Standing::Starting,
            Self::Draining | Self::Silent | Self::Wedged | Self::BackingOff => Standing::Returning,
            Self::Stopping if wanted => Standing::Returning,
            Self::Stopping | Self::Failed | Self::Stopped | Self::Disabled => Standing::Down,
        }
    }

    /// Whether nothing happens any more until somebody wants it to.
    #[must_use]
    pub fn is_at_rest(self) -> bool {
        matches!(self, Self::Failed | Self::Stopped | Self::Disabled)
    }

    /// The legal transitions: the only place that knows them.
    pub(in crate::supervisor) fn may_become(self, next: Self) -> bool {
        use UnitState::{
            BackingOff, Busy, Disabled, Draining, Failed, Ready, Silent, Starting, Stopped, Stopping, Wedged,
        };
        match (self, next) {
            // A live process may end at any moment, and any of them may be told to.
            (
                Starting | Ready | Busy | Draining | Silent | Wedged | Stopping,
                BackingOff | Failed | Stopped | Disabled,
            )
            | (Starting | Ready | Busy | Draining | Silent | Wedged, Stopping)
            // Readiness is the plugin's own word, and it may take it back.
            | (Starting, Ready | Draining)
            | (Ready, Busy | Draining | Starting)
            | (Busy, Ready | Draining | Starting)
            // Only what is expected to answer can be missed, or be found without progress.
            | (Ready | Busy | Draining, Silent | Wedged)
            // A new process needs the old one gone.
            | (BackingOff | Failed | Stopped | Disabled, Starting)
            | (BackingOff | Failed | Stopped, Disabled)
            | (BackingOff | Failed, Stopped) => true,
            _ => false,
        }
    }
}

impl std::fmt::Display for UnitState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere() {
        for state in UnitState::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
    }

    #[test]
    fn no_state_is_a_dead_end_and_none_starts_twice() {
        for state in UnitState::ALL {
            assert!(UnitState::ALL.iter().any(|next| state.may_become(*next)), "{state} leads nowhere");
            assert!(!state.may_become(state), "{state} becomes itself");
        }
        // The plugin's own step back, with the same process.
        let into_starting: Vec<_> =
            UnitState::ALL.into_iter().filter(|state| state.may_become(UnitState::Starting)).collect();
        assert!(into_starting.iter().all(|state| !state.is_running() || state.takes_calls()));
    }
}
