//! Where one side listens and the other dials.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::str::FromStr;

use super::BusError;

/// The longest socket path: `sun_path` has 108 bytes on Linux, the last is NUL.
const MAX_PATH: usize = 107;

/// A URL that one side listens on and the other dials, `ipc:///run/…` for instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(String);

impl Endpoint {
    /// The endpoint of a Unix socket at an absolute path.
    ///
    /// # Errors
    /// [`BusError::PathTooLong`] past 107 bytes, [`BusError::BadPath`] where it is relative or not UTF-8.
    pub fn ipc(path: &Path) -> Result<Self, BusError> {
        let length = path.as_os_str().as_bytes().len();
        if length > MAX_PATH {
            return Err(BusError::PathTooLong { path: path.into(), length, max: MAX_PATH });
        }
        match path.to_str() {
            Some(text) if path.is_absolute() && !text.contains('\0') => Ok(Self(format!("ipc://{text}"))),
            _ => Err(BusError::BadPath(path.into())),
        }
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the Unix socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(self.0.strip_prefix("ipc://").unwrap_or(&self.0))
    }
}

impl FromStr for Endpoint {
    type Err = BusError;

    fn from_str(url: &str) -> Result<Self, BusError> {
        match url.strip_prefix("ipc://") {
            Some(path) => Self::ipc(Path::new(path)),
            None => Err(BusError::BadUrl(url.into())),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths() {
        let endpoint: Endpoint = "ipc:///run/x.ipc".parse().unwrap();
        assert_eq!((endpoint.path(), endpoint.as_str()), (Path::new("/run/x.ipc"), "ipc:///run/x.ipc"));
        for bad in ["", "tcp://1.2.3.4:5", "ipc://relative", "/run/x"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_names_itself() {
        assert!(Endpoint::ipc(Path::new(&format!("/{}", "a".repeat(106)))).is_ok());
        let long = format!("/{}", "a".repeat(107));
        let error = Endpoint::ipc(Path::new(&long)).unwrap_err().to_string();
        assert!(error.contains(&long) && error.contains("108"), "{error}");
    }
}
