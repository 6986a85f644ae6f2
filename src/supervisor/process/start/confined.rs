//! What a child gives up before it becomes its program, made ready before its birth.
//!
//! In the child nothing is called but the system, as in [`child`](super::child).

use std::io;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Resource, Rlimit, Uid, setrlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::sandbox::Kernel;
use crate::bus::Endpoint;
use crate::supervisor::confinement::{Account, LimitSpec, Sandbox};
use crate::supervisor::process::Launch;

/// A step that can be refused, and by whose refusal a person knows which key it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confining {
    Limit(Resource),
    Nice,
    OomScore,
    Capabilities,
    User,
    Privileges,
    Sandbox,
}

/// Every such step, with the key that asks for it; its place here is what the child says.
const STEPS: [(Confining, &str); 11] = [
    (Confining::Limit(Resource::Nofile), "limits.files"),
    (Confining::Limit(Resource::Nproc), "limits.processes"),
    (Confining::Limit(Resource::As), "limits.memory"),
    (Confining::Limit(Resource::Core), "limits.core"),
    (Confining::Limit(Resource::Cpu), "limits.cpu"),
    (Confining::Nice, "nice"),
    (Confining::OomScore, "oom_score_adj"),
    (Confining::Capabilities, "capabilities"),
    (Confining::User, "user"),
    (Confining::Privileges, "no_new_privs"),
    (Confining::Sandbox, "sandbox"),
];

impl Confining {
    /// A byte that is not 0.
    fn code(self) -> u8 {
        let place = STEPS.iter().position(|(step, _)| *step == self).unwrap_or_default();
        u8::try_from(place + 1).unwrap_or(u8::MAX)
    }
}

/// The key that a child could not carry out; `None` for 0, which is anything else.
pub(super) fn key_of(code: u8) -> Option<&'static str> {
    let place = usize::from(code).checked_sub(1)?;
    STEPS.get(place).map(|(_, key)| *key)
}

/// The confinement of one child.
#[derive(Debug)]
pub(super) struct Confined {
    umask: Option<Mode>,
    limits: [(Resource, Option<u64>); 5],
    nice: Option<i32>,
    oom_score_adj: Option<String>,
    drop_capabilities: bool,
    account: Option<Identity>,
    no_new_privs: bool,
    kernel: Kernel,
}

impl Confined {
    /// # Errors
    /// Where its sandbox cannot be made, in words.
    pub(super) fn new(launch: &Launch) -> io::Result<Self> {
        let spec = &launch.confinement;
        // Where its socket will be.
        let call = launch.env.get("PLUGBUS_CALL_URL").and_then(|url| url.parse::<Endpoint>().ok());
        let place = call.as_ref().and_then(|call| call.path().parent());
        let words = std::iter::once(&launch.program).chain(&launch.arguments);
        let named: Vec<_> = words.map(|word| launch.cwd.join(word)).filter(|path| path.is_file()).collect();
        let LimitSpec { files, processes, memory, core, cpu } = spec.limits;
        Ok(Self {
            umask: spec.umask.map(Mode::from_raw_mode),
            limits: [
                (Resource::Nofile, files),
                (Resource::Nproc, processes),
                (Resource::As, memory),
                (Resource::Core, core),
                (Resource::Cpu, cpu),
            ],
            nice: spec.nice,
            oom_score_adj: spec.oom_score_adj.map(|score| score.to_string()),
            drop_capabilities: spec.drop_capabilities,
            account: spec.account.as_ref().map(Identity::new),
            // The kernel takes no ruleset from a process that could still gain rights.
            no_new_privs: spec.no_new_privs || spec.sandbox != Sandbox::Off,
            kernel: Kernel::new(spec, place, &named)?,
        })
    }

    /// Gives up what is to be given up; what needs rights comes before these are gone.
    ///
    /// # Errors
    /// What the system says, with the code of the step.
    pub(super) fn carry_out(&self) -> Result<(), (io::Error, u8)> {
        let refused = |step: Confining| move |error: rustix::io::Errno| (error.into(), step.code());
        if let Some(umask) = self.umask {
            rustix::process::umask(umask);
        }
        for (resource, limit) in self.limits {
            if limit.is_some() {
                let limit = Rlimit { current: limit, maximum: limit };
                setrlimit(resource, limit).map_err(refused(Confining::Limit(resource)))?;
            }
        }
        if let Some(nice) = self.nice {
            rustix::process::setpriority_process(None, nice).map_err(refused(Confining::Nice))?;
        }
        if let Some(score) = &self.oom_score_adj {
            set_oom_score(score).map_err(refused(Confining::OomScore))?;
        }
        let capabilities = |error| (error, Confining::Capabilities.code());
        if self.drop_capabilities {
            bound_capabilities().map_err(capabilities)?;
        }
        if let Some(account) = &self.account {
            account.take_on().map_err(refused(Confining::User))?;
        }
        // Last of these: to become somebody else takes one.
        if self.drop_capabilities {
            drop_capabilities().map_err(capabilities)?;
        }
        if self.no_new_privs {
            forbid_new_privileges().map_err(|error| (error, Confining::Privileges.code()))?;
        }
        let locked = self.kernel.restrict().and_then(|()| self.kernel.install_filter());
        locked.map_err(|error| (error, Confining::Sandbox.code()))?;
        Ok(())
    }
}

fn set_oom_score(score: &str) -> rustix::io::Result<()> {
    let file = rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, score.as_bytes()).map(drop)
}

fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: sets a flag of this process; touches no memory.
    #[expect(unsafe_code, reason = "rustix has it behind a feature with much else")]
    let done = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Another user, made ready for the child.
#[derive(Debug)]
struct Identity {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Identity {
    fn new(account: &Account) -> Self {
        let groups = account.groups.iter().chain([&account.gid]).map(|group| Gid::from_raw(*group)).collect();
        Self { uid: Uid::from_raw(account.uid), gid: Gid::from_raw(account.gid), groups }
    }

    /// Becomes that user for good, with the kernel's own calls: those of the C library have every thread do it, and
    /// would wait for threads that were not forked.
    fn take_on(&self) -> rustix::io::Result<()> {
        // Its output is its own, so that it can open `/dev/stdout`.
        for stream in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
            rustix::fs::fchown(stream, Some(self.uid), Some(self.gid))?;
        }
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)
    }
}

/// `struct __user_cap_header_struct` of version 3.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// Takes every capability away from what may ever be had; root would have all of them again when it executes its program.
fn bound_capabilities() -> io::Result<()> {
    // SAFETY: changes this process's own sets and touches no memory.
    #[expect(unsafe_code, reason = "no library has this without allocating")]
    unsafe {
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        for capability in 0..64 {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                match *libc::__errno_location() {
                    // The kernel knows no more of them.
                    libc::EINVAL => break,
                    // Only who has the right to may; but whoever has not is no root, and gets none by executing.
                    libc::EPERM if libc::geteuid() != 0 => break,
                    _ => return Err(io::Error::last_os_error()),
                }
            }
        }
    }
    Ok(())
}

/// Gives up every capability that is had.
fn drop_capabilities() -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`.
    const VERSION_3: u32 = 0x2008_0522;
    let header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let none = [0_u32; 6];
    // SAFETY: the header and the sets are as the kernel reads them in version 3, two times three words.
    #[expect(unsafe_code, reason = "no library has this without allocating")]
    unsafe {
        if libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
