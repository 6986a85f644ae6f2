//! The kernel's own means: a Landlock ruleset and a seccomp filter, made before the birth of the child.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Once;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use rustix::fs::{Mode, OFlags};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, sock_filter};

use crate::supervisor::confinement::{ConfinementSpec, Sandbox};

/// The kernel that all of it needs: Linux 6.12, which keeps signals in.
const WANTED: ABI = ABI::V6;

/// What every program reads: its libraries, and how the system is set up. Of `/proc` no other process: their variables
/// are there.
const SYSTEM: [&str; 20] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc",
    "/opt",
    "/nix/store",
    "/sys/fs/cgroup",
    "/sys/devices/system",
    "/dev/random",
    "/dev/urandom",
    "/proc/sys",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/filesystems",
    "/proc/uptime",
];

/// What every program may write to, as nothing is kept there.
const DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/full"];

/// What a process is locked into; `None` for what is not asked for or not to be had.
#[derive(Debug, Default)]
pub(super) struct Kernel {
    ruleset: Option<OwnedFd>,
    /// Whether the ruleset is about files, so that it still has to be given its own part of `/proc`.
    of_files: bool,
    filter: Option<BpfProgram>,
}

impl Kernel {
    /// Makes it ready, for a process on that bus that is made of these files; what the kernel lacks is left out and told
    /// once, or is an error where it is `required`.
    ///
    /// # Errors
    /// In words.
    pub(super) fn new(spec: &ConfinementSpec, bus: Option<&Path>, files: &[PathBuf]) -> io::Result<Self> {
        if spec.sandbox == Sandbox::Off {
            return Ok(Self::default());
        }
        let ruleset = ruleset(spec, bus, files).map_err(|error| wrong("Landlock", &error))?;
        let filter = filter(spec.sandbox).map_err(|error| wrong("seccomp", &error));
        let of_files = spec.sandbox == Sandbox::Strict;
        if spec.sandbox_required {
            if ruleset.is_none() {
                return Err(wrong("Landlock", &"this kernel has none"));
            }
            return Ok(Self { ruleset, of_files, filter: Some(filter?) });
        }
        tell_once(ruleset.is_some(), filter.is_ok());
        Ok(Self { ruleset, of_files, filter: filter.ok() })
    }

    /// Locks this process in. Calls nothing but the system.
    pub(super) fn restrict(&self) -> io::Result<()> {
        let Some(ruleset) = &self.ruleset else { return Ok(()) };
        if self.of_files {
            let _ = let_read_itself(ruleset);
        }
        // SAFETY: hands the kernel a descriptor; touches no memory.
        #[expect(unsafe_code, reason = "the library's own call is more than one system call")]
        let done = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// From here on its system calls are filtered. Calls nothing but the system.
    pub(super) fn install_filter(&self) -> io::Result<()> {
        let Some(filter) = &self.filter else { return Ok(()) };
        let program = libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
            filter: filter.as_ptr().cast::<libc::sock_filter>().cast_mut(),
        };
        // SAFETY: the kernel copies so many instructions, which are laid out as its own and never written to.
        #[expect(unsafe_code, reason = "the library's own call allocates where it fails")]
        let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// Opens up `/proc/PID` of this process, whose number nobody knew before its birth; nothing where there is no `/proc`.
fn let_read_itself(ruleset: &OwnedFd) -> io::Result<()> {
    /// `LANDLOCK_RULE_PATH_BENEATH`.
    const PATH_BENEATH: libc::c_int = 1;
    let itself = rustix::fs::open(c"/proc/self", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let allowed_access = (AccessFs::ReadFile | AccessFs::ReadDir).bits();
    let rule = PathBeneathAttr { allowed_access, parent_fd: itself.as_raw_fd() };
    // SAFETY: the kernel reads one rule of that kind.
    #[expect(unsafe_code, reason = "the library's own call allocates")]
    let done =
        unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), PATH_BENEATH, &raw const rule, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const _: () = assert!(size_of::<sock_filter>() == size_of::<libc::sock_filter>());

fn wrong(what: &str, problem: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("its sandbox cannot be made: {what}: {problem}"))
}

fn tell_once(landlock: bool, seccomp: bool) {
    static TOLD: Once = Once::new();
    if landlock && seccomp {
        return;
    }
    let lacks = match (landlock, seccomp) {
        (false, false) => "neither Landlock nor seccomp",
        (false, true) => "no Landlock",
        _ => "no seccomp",
    };
    TOLD.call_once(|| {
        tracing::warn!(
            "this system has {lacks}: sandboxes lack that part; with sandbox_required, plugins do not start"
        );
    });
}

/// `None` where the kernel has no Landlock at all.
fn ruleset(spec: &ConfinementSpec, bus: Option<&Path>, files: &[PathBuf]) -> Result<Option<OwnedFd>, RulesetError> {
    let level = if spec.sandbox_required { CompatLevel::HardRequirement } else { CompatLevel::BestEffort };
    let ruleset = Ruleset::default().set_compatibility(level);
    if spec.sandbox == Sandbox::Standard {
        return Ok(ruleset.scope(Scope::Signal)?.create()?.into());
    }
    let (read, all) = (AccessFs::from_read(WANTED), AccessFs::from_all(WANTED));
    // What can be written cannot be executed.
    let write: BitFlags<AccessFs> = all & !AccessFs::Execute;
    let ports = |ports: &[u16], access| {
        ports.iter().map(move |port| Ok::<_, RulesetError>(NetPort::new(*port, access))).collect::<Vec<_>>()
    };
    let created = ruleset
        .handle_access(all)?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(DEVICES, write))?
        .add_rules(path_beneath_rules(files, read))?
        .add_rules(path_beneath_rules(&spec.read, read))?
        .add_rules(path_beneath_rules(&spec.write, write))?
        // Its socket: made, and removed at its end. Not a word of what lies there can be read.
        .add_rules(path_beneath_rules(bus, AccessFs::MakeSock | AccessFs::RemoveFile))?
        .add_rules(ports(&spec.tcp_listen, AccessNet::BindTcp))?
        .add_rules(ports(&spec.tcp_connect, AccessNet::ConnectTcp))?;
    Ok(created.into())
}

/// Every system call passes but those that no plugin needs; these are refused with `EPERM`.
fn filter(sandbox: Sandbox) -> Result<BpfProgram, String> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let strict: &[_] = if sandbox == Sandbox::Strict { &STRICT } else { &[] };
    let calls = STANDARD.iter().chain(OF_THE_PROCESSOR).chain(strict).copied();
    // The same calls have a second number in x86's 32-bit-pointer interface, which would be a way round.
    let calls = calls.flat_map(|call| match cfg!(target_arch = "x86_64") {
        true => vec![call, call | 0x4000_0000],
        false => vec![call],
    });
    let rules: BTreeMap<_, _> = calls.map(|call| (call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture);
    filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())
}

/// What no plugin needs: other processes' memory, the machine, the kernel, mounts, keys, the clock.
const STANDARD: [libc::c_long; 41] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_userfaultfd,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_open_by_handle_at,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
];

#[cfg(target_arch = "x86_64")]
const OF_THE_PROCESSOR: &[libc::c_long] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_PROCESSOR: &[libc::c_long] = &[];

/// Beyond that: namespaces and other roots, and the queue that does other calls' work behind the filter's back.
const STRICT: [libc::c_long; 6] = [
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];
