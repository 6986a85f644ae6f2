//! What a child executes, made ready before its birth.
//!
//! The C library's `execvp` would run a file that is no program as a script of `/bin/sh`, which hides that it is none,
//! and it allocates. So the places where the program may be are listed before the birth of the child.

use std::ffi::{CString, OsStr, OsString, c_char};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::io::Errno;

/// Where a program is looked for without a `PATH`, as by every shell.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program with its arguments and variables, as `execve` takes them.
#[derive(Debug)]
pub(super) struct Image {
    /// Where the program may be, in the order in which it is looked for.
    programs: Vec<CString>,
    /// The program itself, open: then it is this that is executed, and no path is looked at.
    checked: Option<OwnedFd>,
    arguments: Strings,
    variables: Strings,
}

/// Texts, and the list of pointers to them that ends with a null.
#[derive(Debug)]
struct Strings {
    _texts: Vec<CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers are to the texts beside them, which are never changed and live as long.
#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
unsafe impl Send for Strings {}
// SAFETY: as above; all that is done with them is to read.
#[expect(unsafe_code, reason = "a pointer is not Sync by itself")]
unsafe impl Sync for Strings {}

impl Image {
    /// # Errors
    /// Where a text holds a NUL character, which no program can be given.
    pub(super) fn new(
        program: &str,
        arguments: &[String],
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> io::Result<Self> {
        let mut search = OsString::from(DEFAULT_PATH);
        let variables = variables.map(|(name, value)| {
            if name == "PATH" {
                search.clone_from(&value);
            }
            [name.into_vec(), value.into_vec()].join(&b'=')
        });
        let variables = Strings::new(variables)?;
        let words = std::iter::once(program).chain(arguments.iter().map(String::as_str));
        let arguments = Strings::new(words.map(|word| word.as_bytes().to_vec()))?;
        let programs = places(program, &search).map(CString::new).collect::<Result<_, _>>()?;
        Ok(Self { programs, checked: None, arguments, variables })
    }

    /// Executes that open file instead of what is at a path.
    pub(super) fn executing(self, checked: Option<OwnedFd>) -> Self {
        Self { checked, ..self }
    }

    /// Becomes the program; returns where that is not possible.
    ///
    /// Calls nothing but the system, so it may be called between fork and exec.
    pub(super) fn execute(&self) -> io::Error {
        if let Some(checked) = &self.checked {
            return self.execute_open(checked);
        }
        let mut last = Errno::NOENT;
        for program in &self.programs {
            let (arguments, variables) = (self.arguments.pointers.as_ptr(), self.variables.pointers.as_ptr());
            // SAFETY: three pointers to what ends as the system wants it, a NUL or a null, and which outlives the
            // call: it returns only where nothing was done.
            #[expect(unsafe_code, reason = "std has no execve that is nothing but that")]
            unsafe {
                libc::execve(program.as_ptr(), arguments, variables);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error().map(Errno::from_raw_os_error) {
                // Somewhere else there may be one that can be executed.
                Some(error @ (Errno::NOENT | Errno::NOTDIR | Errno::ACCESS)) => {
                    last = if last == Errno::ACCESS { last } else { error };
                }
                _ => return error,
            }
        }
        last.into()
    }

    fn execute_open(&self, checked: &OwnedFd) -> io::Error {
        let (arguments, variables) = (self.arguments.pointers.as_ptr(), self.variables.pointers.as_ptr());
        // SAFETY: as for execve, with a descriptor and an empty path, which is a constant.
        #[expect(unsafe_code, reason = "no library has an execveat that is nothing but that")]
        unsafe {
            let (file, empty) = (checked.as_raw_fd(), c"".as_ptr());
            libc::syscall(libc::SYS_execveat, file, empty, arguments, variables, libc::AT_EMPTY_PATH);
        }
        io::Error::last_os_error()
    }
}

impl Strings {
    fn new(texts: impl Iterator<Item = Vec<u8>>) -> io::Result<Self> {
        let texts = texts.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Ok(Self { _texts: texts, pointers })
    }
}

/// A name with a slash is a path; any other is looked for in each directory of the search path.
fn places<'a>(program: &'a str, search: &'a OsStr) -> impl Iterator<Item = Vec<u8>> + 'a {
    let is_path = program.contains('/');
    let plain = is_path.then(|| program.as_bytes().to_vec());
    let found = std::env::split_paths(search)
        .filter(move |_| !is_path && !program.is_empty())
        .map(move |directory| here_if_empty(&directory).join(program).into_os_string().into_vec());
    plain.into_iter().chain(found)
}

/// An empty part of a search path stands for the working directory.
fn here_if_empty(directory: &Path) -> &Path {
    if directory.as_os_str().as_bytes().is_empty() { Path::new(".") } else { directory }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_is_looked_for_and_a_path_is_not() {
        let found = |program| {
            let places = places(program, OsStr::new("/a:/b::/c")).map(|place| String::from_utf8(place).unwrap());
            places.collect::<Vec<_>>()
        };
        assert_eq!(found("x"), ["/a/x", "/b/x", "./x", "/c/x"]);
        assert_eq!(found("./x"), ["./x"]);
        assert_eq!(found(""), [""; 0]);
    }

    #[test]
    fn what_cannot_be_executed_returns_with_the_reason() {
        let root = tempfile::tempdir().unwrap();
        let plain = root.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let search = std::env::join_paths([root.path(), Path::new("/no/such/place")]).unwrap();
        let reason = |program: &str| {
            let image = Image::new(program, &[], [("PATH".into(), search.clone())].into_iter()).unwrap();
            image.execute().raw_os_error().map(Errno::from_raw_os_error)
        };
        assert_eq!(reason("plain"), Some(Errno::ACCESS), "it was found, whatever else is not");
        assert_eq!(reason("nobody"), Some(Errno::NOENT));
        assert_eq!(reason("/tmp"), Some(Errno::ACCESS));
        assert!(Image::new("a\0b", &[], [].into_iter()).is_err());
    }
}
