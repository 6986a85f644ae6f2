//! Which files a log consists of.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Tells a file from others, whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// When it was made, because inodes are used again; `None` where the file system does not know.
    made: Option<String>,
}

/// One of the files of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RotatedFile {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    /// Seconds since 1970.
    pub(super) modified: i64,
    length: u64,
}

/// A block that is read at once when lines are counted from the end.
const BLOCK: u64 = 64 * 1024;

pub(super) fn identity(found: &Metadata) -> Identity {
    let made = found.created().ok().map(|made| humantime::format_rfc3339_nanos(made).to_string());
    Identity { device: found.dev(), inode: found.ino(), made }
}

/// The files of a log, the oldest first.
pub(super) fn list(path: &Path) -> io::Result<Vec<RotatedFile>> {
    // A rotation renames one file after the other; only what is seen twice alike was not in the middle of that.
    let mut seen = look(path)?;
    for _ in 0..10 {
        let again = look(path)?;
        let same = |a: &RotatedFile, b: &RotatedFile| a.identity == b.identity && a.path == b.path;
        let alike = seen.len() == again.len() && seen.iter().zip(&again).all(|(a, b)| same(a, b));
        seen = again;
        if alike {
            break;
        }
    }
    Ok(seen)
}

fn look(path: &Path) -> io::Result<Vec<RotatedFile>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found: Vec<(u32, RotatedFile)> = entries
        .flatten()
        .filter_map(|entry| {
            let entry_name = entry.file_name();
            let number = match entry_name.to_str()?.strip_prefix(name)? {
                "" => 0,
                ending => ending.strip_prefix('.')?.parse().ok().filter(|number| *number > 0)?,
            };
            let path = entry.path();
            // Gone meanwhile, or renamed.
            let found = fs::metadata(&path).ok().filter(Metadata::is_file)?;
            let (identity, modified, length) = (identity(&found), found.mtime(), found.len());
            Some((number, RotatedFile { path, identity, modified, length }))
        })
        .collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(found.into_iter().map(|(_, file)| file).collect())
}

/// In which file the last so many lines begin, and where.
pub(super) fn last_lines(files: &[RotatedFile], lines: u64) -> io::Result<(usize, u64)> {
    let mut wanted = lines;
    for (index, file) in files.iter().enumerate().rev() {
        match nth_line_from_end(file, wanted)? {
            Ok(offset) => return Ok((index, offset)),
            Err(found) => wanted -= found,
        }
    }
    Ok((0, 0))
}

/// Where that many lines before the end begin, or how many there are.
fn nth_line_from_end(file: &RotatedFile, wanted: u64) -> io::Result<Result<u64, u64>> {
    let mut opened = File::open(&file.path)?;
    let (mut end, mut found) = (file.length, 0);
    let mut block = Vec::new();
    // The newline that ends the last line begins none.
    let mut skip = end;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        block.clear();
        opened.seek(SeekFrom::Start(start))?;
        (&mut opened).take(end - start).read_to_end(&mut block)?;
        for at in memchr::memrchr_iter(b'\n', &block) {
            let next_line = start + at as u64 + 1;
            if std::mem::replace(&mut skip, 0) == next_line {
                continue;
            }
            if found + 1 == wanted.max(1) {
                return Ok(Ok(if wanted == 0 { file.length } else { next_line }));
            }
            found += 1;
        }
        end = start;
    }
    // The first line of a file has no newline before it.
    let first = u64::from(file.length > 0);
    match wanted {
        0 => Ok(Ok(file.length)),
        wanted if wanted <= found + first => Ok(Ok(0)),
        _ => Ok(Err(found + first)),
    }
}
