//! NNG itself: its version, its threads, and the calls that the `nng` crate lacks.

#![expect(unsafe_code, reason = "the nng crate offers neither thread counts, nor the version, nor peer credentials")]

use std::ffi::CStr;
use std::sync::OnceLock;

use crate::bus::BusError;

/// Values of `nng_init_parameter` in NNG 1.12's `nng.h`; the binding does not name them.
const NUM_TASK_THREADS: i32 = 1;
const NUM_EXPIRE_THREADS: i32 = 2;
const NUM_POLLER_THREADS: i32 = 3;
const NUM_RESOLVER_THREADS: i32 = 4;

/// Starts NNG with as few threads as it can do with; every socket is made after this.
pub(super) fn init() -> Result<(), BusError> {
    static VERSION: OnceLock<String> = OnceLock::new();
    let version = VERSION.get_or_init(|| {
        // Two cores run 13 NNG threads by default; with these five, a round trip has a fifth fewer switches.
        for (parameter, threads) in
            [(NUM_TASK_THREADS, 2), (NUM_EXPIRE_THREADS, 1), (NUM_POLLER_THREADS, 1), (NUM_RESOLVER_THREADS, 1)]
        {
            // SAFETY: sets a number in NNG; done once, before the first socket, as NNG asks.
            unsafe { nng_c_sys::nng_init_set_parameter(parameter, threads) };
        }
        // SAFETY: returns a static, NUL-terminated string.
        unsafe { CStr::from_ptr(nng_c_sys::nng_version()) }.to_string_lossy().into_owned()
    });
    // Up to 1.5 a stranger's connect kills the listener for good; another crate could link such an NNG.
    if version.starts_with("1.12.") { Ok(()) } else { Err(BusError::WrongNng(version.clone())) }
}

/// A number that tells the pipes of one socket apart.
pub(super) fn pipe_id(pipe: nng::Pipe) -> u32 {
    // SAFETY: reads the id out of the handle that is passed by value.
    let id = unsafe { nng_sys::nng_pipe_id(pipe.nng_pipe()) };
    u32::try_from(id).unwrap_or_default()
}

/// A credential of the process at the other end of a pipe, as the kernel knows it.
pub(super) fn peer_credential(pipe: nng::Pipe, option: &'static [u8]) -> Option<u32> {
    let option = CStr::from_bytes_with_nul(option).ok()?;
    let mut value = 0_u64;
    // SAFETY: the option is NUL-terminated, the value outlives the call; NNG checks the handle itself.
    let failed = unsafe { nng_sys::nng_pipe_get_uint64(pipe.nng_pipe(), option.as_ptr(), &raw mut value) };
    if failed == 0 { value.try_into().ok() } else { None }
}
