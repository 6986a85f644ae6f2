//! Whether a plugin that ended by itself is started again.

use crate::supervisor::RestartPolicy;

/// What becomes of a plugin whose process is gone and that nobody asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Aftermath {
    /// It is started again, after its backoff.
    Restart,
    /// It did what it had to do and rests.
    Rest,
    /// It failed and its policy forbids another try.
    GiveUp,
}

/// Decides from the policy and the way the run ended.
///
/// A run failed when its process did not start, was not ready in time, fell silent, was wedged, was killed by
/// whatever signal, exited with a code that is none of its `success_codes`, or went while nobody looked.
pub(in crate::supervisor) fn decide(policy: RestartPolicy, failed: bool) -> Aftermath {
    match (policy, failed) {
        (RestartPolicy::Always, _) | (RestartPolicy::OnFailure, true) => Aftermath::Restart,
        (RestartPolicy::OnFailure | RestartPolicy::Never, false) => Aftermath::Rest,
        (RestartPolicy::Never, true) => Aftermath::GiveUp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        use Aftermath::{GiveUp, Rest, Restart};
        use RestartPolicy::{Always, Never, OnFailure};
        for (policy, after_success, after_failure) in
            [(Always, Restart, Restart), (OnFailure, Rest, Restart), (Never, Rest, GiveUp)]
        {
            assert_eq!(decide(policy, false), after_success, "{policy:?} after success");
            assert_eq!(decide(policy, true), after_failure, "{policy:?} after failure");
        }
    }
}
