//! Starts a process: pipes for its output, a child, and the news whether its program was executed.
//!
//! std's `Command` cannot have a child born into its cgroup, and joining one afterwards waits for every processor
//! of the machine. [`birth`] makes the child, [`child`] has the steps it takes up to its program, [`confined`] those by
//! which it gives something up ([`sandbox`] those that the kernel has rulesets for), [`image`] what it executes,
//! [`inheritance`] what it does not get. All that needs memory is made before the birth: of the child's threads only one
//! is left, and a lock of the others stays locked.

mod birth;
mod child;
mod confined;
mod image;
mod inheritance;
mod sandbox;

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::{Entry, Launch};
use birth::Born;
use child::Steps;
use confined::Confined;
use image::Image;
pub(in crate::supervisor) use inheritance::inherits_nothing;

/// A child whose program was executed, and the ends of its output.
#[derive(Debug)]
pub(in crate::supervisor::process) struct Started {
    pub(in crate::supervisor::process) pid: Pid,
    pub(in crate::supervisor::process) stdout: OwnedFd,
    pub(in crate::supervisor::process) stderr: OwnedFd,
}

/// Starts it in a session of its own and, where there is one, in its cgroup; blocks until its program was executed.
///
/// # Errors
/// What the system says where there is no child, or where one of its steps failed; then it is gone.
pub(in crate::supervisor::process) fn start(launch: &Launch, entry: Option<&Entry>) -> io::Result<Started> {
    let (stdout, its_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, its_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
    let (news, failure) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut steps = Steps {
        streams: [
            above_streams(File::open("/dev/null")?.into())?,
            above_streams(its_stdout)?,
            above_streams(its_stderr)?,
        ],
        failure: above_streams(failure)?,
        cwd: (!launch.cwd.as_os_str().is_empty())
            .then(|| CString::new(launch.cwd.as_os_str().as_encoded_bytes()))
            .transpose()?,
        files: crate::supervisor::limits::file_limit_before(),
        confined: Confined::new(launch)?,
        join: None,
        image: Image::new(&launch.program, &launch.arguments, launch.variables()?.into_iter())?
            .executing(launch.checked.as_deref().map(|file| above_streams(file.try_clone()?.into())).transpose()?),
    };
    let pid = match birth::give_birth(entry, &mut steps)? {
        Born::Here => steps.carry_out(),
        Born::Child(pid) => pid,
    };
    // The pipe ends when the child's copy is closed, which executing its program does.
    drop(steps);
    let mut said = [0; 5];
    match File::from(news).read_exact(&mut said) {
        Ok(()) => {
            // It ends right after it has said so, and nobody else knows of it.
            let _ = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED));
            Err(failure_of(said))
        }
        Err(_) => Ok(Started { pid, stdout, stderr }),
    }
}

/// What a child said before it ended: the system's number, and which step it was.
fn failure_of([number @ .., step]: [u8; 5]) -> io::Error {
    let error: io::Error = Errno::from_raw_os_error(i32::from_ne_bytes(number)).into();
    match confined::key_of(step) {
        Some(key) => io::Error::other(format!("its `{key}` cannot be set: {error}")),
        None => error,
    }
}

/// A descriptor beyond 0, 1 and 2, which a host program may have closed: the child puts its streams there.
fn above_streams(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    if descriptor.as_raw_fd() > 2 {
        return Ok(descriptor);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&descriptor, 3)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::ConfinementSpec;

    fn launch(script: &str) -> Launch {
        Launch {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            cwd: "/".into(),
            env: std::collections::BTreeMap::new(),
            confinement: ConfinementSpec::default(),
            room: None,
            checked: None,
        }
    }

    /// What it prints, and how it ends.
    fn outcome(script: &str, entry: Option<&Entry>) -> (String, Option<i32>, Option<i32>) {
        let Started { pid, stdout, .. } = start(&launch(script), entry).unwrap();
        let mut said = String::new();
        File::from(stdout).read_to_string(&mut said).unwrap();
        let status = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap().unwrap();
        (said.trim().to_owned(), status.exit_status(), status.terminating_signal())
    }

    #[test]
    fn a_child_has_a_session_a_directory_and_the_signals_as_they_are_by_default() {
        assert_eq!(outcome("read line; pwd", None), ("/".into(), Some(0), None), "and nothing to read");
        // Executed in its place: a shell that starts something blocks every signal for that moment.
        let session = "set -- $(cat /proc/$$/stat); test $6 = $$ -a $5 = $$ && exec grep SigBlk /proc/self/status";
        let (signals, code, _) = outcome(session, None);
        assert_eq!(code, Some(0));
        assert!(signals.lines().next().is_some_and(|blocked| blocked.ends_with("\t0000000000000000")), "{signals}");
        // Rust programs do not hear of it; others end by it, as they are used to.
        assert_eq!(outcome("kill -PIPE $$", None), (String::new(), None, Some(13)));
        // SAFETY: nobody sends this one here.
        #[expect(unsafe_code, reason = "std has nothing for what a signal does")]
        unsafe {
            libc::signal(libc::SIGVTALRM, libc::SIG_IGN);
        }
        assert_eq!(
            outcome("kill -VTALRM $$", None),
            (String::new(), None, Some(26)),
            "silenced here, and heard there"
        );
    }

    #[test]
    fn a_child_inherits_its_streams_and_nothing_else() {
        let others = inheritance::tests::unmarked();
        let looks = format!("test ! -e /proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&others));
        assert_eq!(outcome(&looks, None), (String::new(), Some(0), None));
    }

    #[test]
    fn whoever_cannot_be_born_in_a_cgroup_joins_it() {
        let root = tempfile::tempdir().unwrap();
        let procs = root.path().join("cgroup.procs");
        let entry = Entry { directory: File::open(root.path()).unwrap(), procs: File::create(&procs).unwrap() };
        assert_eq!(outcome("exit 3", Some(&entry)), (String::new(), Some(3), None));
        assert_eq!(std::fs::read_to_string(procs).unwrap(), "0", "as whoever joins writes");
    }

    #[test]
    fn whoever_is_born_in_a_cgroup_never_joins_it() {
        let Ok(groups) = super::super::Cgroups::find() else { return };
        let group = groups.of("text", &crate::bus::new_instance());
        let written = tempfile::NamedTempFile::new().unwrap();
        let entry = Entry { directory: group.create().unwrap().directory, procs: written.reopen().unwrap() };
        let (said, ..) = outcome("cat /proc/self/cgroup", Some(&entry));
        let name = group.path().file_name().unwrap().to_str().unwrap();
        let refused = std::fs::read_to_string(written.path()).unwrap() == "0";
        assert!(refused || said.contains(name), "{said}");
        group.remove().unwrap();
    }
}
