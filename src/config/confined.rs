//! How a plugin is confined, as its keys say it.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::accounts;
use super::program::tidy;
use super::raw::{Field, Name, RawRun};
use super::report::{Report, quote};
use super::validate::{get, set};
use crate::supervisor::{ConfinementSpec, LimitSpec, Sandbox, TotalSpec};

/// The confinement of a plugin; `None` after a problem.
pub(super) fn build(run: &RawRun, report: &Report<'_>) -> Option<ConfinementSpec> {
    let limits = &run.limits;
    Some(ConfinementSpec {
        account: accounts::account(run)?.ok()?,
        pass_env: run.pass_env.as_ref()?.value.as_ref()?.iter().map(|name| name.text.clone()).collect(),
        env_file: paths(run.env_file.as_ref()?, report)?,
        umask: get(&run.umask)?,
        no_new_privs: get(&run.no_new_privs)?,
        drop_capabilities: get(&run.capabilities)?,
        limits: LimitSpec {
            files: get(&limits.files)?,
            processes: get(&limits.processes)?,
            memory: get(&limits.memory)?,
            core: get(&limits.core)?,
            cpu: get(&limits.cpu)?,
        },
        total: TotalSpec {
            memory: get(&limits.total_memory)?,
            processes: get(&limits.total_processes)?,
            cpu: get(&limits.total_cpu)?,
        },
        sandbox: get(&run.sandbox)?,
        sandbox_required: get(&run.sandbox_required)?,
        read: paths(run.read.as_ref()?, report)?,
        write: paths(run.write.as_ref()?, report)?,
        tcp_listen: get(&run.tcp_listen)?,
        tcp_connect: get(&run.tcp_connect)?,
        nice: get(&run.nice)?,
        oom_score_adj: get(&run.oom_score_adj)?,
    })
}

/// Paths start at the directory of the file that names them.
fn paths(field: &Field<Vec<Name>>, report: &Report<'_>) -> Option<Vec<PathBuf>> {
    let path = |name: &Name| tidy(&report.source(name.at).directory().join(&name.text));
    Some(field.value.as_ref()?.iter().map(path).collect())
}

/// What is worth a word before anything is started.
pub(super) fn check(run: &RawRun, report: &mut Report<'_>) {
    accounts::check(run, report);
    check_files(run, report);
    check_paths(run, report);
}

/// Paths that are not there cannot be opened up, and without a sandbox nothing has to be.
fn check_paths(run: &RawRun, report: &mut Report<'_>) {
    let strict = set(&run.sandbox).is_none_or(|(_, sandbox)| *sandbox == Sandbox::Strict);
    for (field, names) in [&run.read, &run.write].into_iter().filter_map(set) {
        for name in names {
            let path = tidy(&report.source(name.at).directory().join(&name.text));
            if !strict {
                report.warning(name.at, &field.key, "has no effect without sandbox = \"strict\"");
            } else if !path.exists() {
                let message = format!("{} does not exist, so it is not opened up", quote(&path.to_string_lossy()));
                report.warning(name.at, &field.key, message);
            }
        }
    }
}

/// Files of secrets that are not there, or that others can read.
fn check_files(run: &RawRun, report: &mut Report<'_>) {
    let Some((field, names)) = set(&run.env_file) else { return };
    for name in names {
        let path = tidy(&report.source(name.at).directory().join(&name.text));
        let shown = quote(&path.to_string_lossy());
        match std::fs::metadata(&path) {
            Err(error) => report.warning(name.at, &field.key, format!("{shown} cannot be read: {error}")),
            Ok(found) if found.mode() & 0o022 != 0 => {
                report.warning(name.at, &field.key, format!("others may write {shown}, so it is refused: chmod 600"));
            }
            Ok(found) if found.mode() & 0o044 != 0 => {
                report.warning(name.at, &field.key, format!("others may read {shown}: chmod 600"));
            }
            Ok(_) => {}
        }
    }
}
