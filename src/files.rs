//! Output directories and files that are either old or new, never half-written. All files that the
//! crate writes go through here.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// Why a file or directory could not be used, which, and what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The output directory does not exist and could not be made.
    #[error(
        "cannot create the output directory {}: {source}; choose another directory, or make its \
         parent writable", path.display()
    )]
    CreateDir {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The output directory exists, but files cannot be made in it.
    #[error(
        "cannot create files in the output directory {}: {source}; choose another directory, or \
         make this one writable and check that the disk is not full", path.display()
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another program is writing into the output directory.
    #[error(
        "another run is writing into {}; wait for it, or choose another directory", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file could not be written; what was there before is untouched.
    #[error(
        "cannot write {}: {source}; check that its directory exists and is writable and that the \
         disk is not full", path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}; check that it exists and is readable", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// An output directory that belongs to this run as long as the value lives, and to nobody once the
/// program has ended, however it ended.
#[derive(Debug)]
pub struct OutDir {
    path: PathBuf,
    // Closing the file gives the directory free.
    _lock: File,
}

impl OutDir {
    /// [Prepares](prepare_out_dir) a directory and claims it. What runs that were killed left
    /// half-written in it is deleted.
    ///
    /// # Errors
    ///
    /// As [`prepare_out_dir`], and [`FileError::InUse`] while another run has claimed it.
    pub fn claim(path: &Path) -> Result<Self, FileError> {
        prepare_out_dir(path)?;
        let refused = |source| FileError::NotWritable { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).open(path.join(LOCK));
        let lock = lock.map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => {
                delete_temporary(path);
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => Err(FileError::InUse { path: path.to_owned() }),
            // Some network shares have no locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                log::warn!("{}: it cannot be locked against a second run", path.display());
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::Error(error)) => Err(refused(error)),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// File of an output directory that the run which owns it has locked.
const LOCK: &str = ".l2rw.lock";

/// Creates `path` and its parents if need be and proves that files can be written in it.
///
/// Call it before a long run: an unwritable directory should be found out before the training, not
/// after it.
///
/// # Errors
///
/// [`FileError::CreateDir`] if the directory cannot be made (a file of that name is in the way,
/// say), [`FileError::NotWritable`] if a file cannot be created in it.
pub fn prepare_out_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path)
        .map_err(|source| FileError::CreateDir { path: path.to_owned(), source })?;
    let probe = temporary_name(path, "probe");
    // Permission bits do not tell about read-only mounts, quotas or network shares; writing does.
    File::create_new(&probe)
        .and_then(|mut file| file.write_all(b"l2rw"))
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|source| {
            // The probe may be half there; what failed first is the error to report.
            let _ = fs::remove_file(&probe);
            FileError::NotWritable { path: path.to_owned(), source }
        })
}

/// Replaces the file at `path` by `bytes` in one step.
///
/// The bytes go to a temporary file in the same directory (renaming is atomic only within a file
/// system), which then takes the name. A reader sees the old file or the new one, and a crash or a
/// full disk leaves the old one.
///
/// # Errors
///
/// [`FileError::Write`]; the temporary file is removed and an older `path` is left as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = temporary_name(directory_of(path), &name);
    let written = write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        // Best effort: the directory may be what is broken.
        let _ = fs::remove_file(&temporary);
        FileError::Write { path: path.to_owned(), source }
    })?;
    // The new name survives a power cut only once the directory is on the disk. Where directories
    // cannot be synced, nothing is lost but that.
    let _ = File::open(directory_of(path)).and_then(|directory| directory.sync_all());
    Ok(())
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    // Without it some file systems rename first and write later, and a crash leaves an empty file.
    file.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A name that neither another process nor another thread of this one is using.
fn temporary_name(directory: &Path, name: &str) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    directory.join(format!(".{name}.{}.{count}.tmp", std::process::id()))
}

/// Deletes files of such names: nobody else writes in a directory that is claimed.
fn delete_temporary(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for name in entries.flatten().map(|entry| entry.file_name()) {
        let mut parts = name.to_str().unwrap_or_default().rsplit('.');
        let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u64>().is_ok());
        let named = parts.next() == Some("tmp") && is_number(parts.next());
        if named && is_number(parts.next()) && name.to_string_lossy().starts_with('.') {
            // Best effort: it costs room, nothing else.
            let _ = fs::remove_file(directory.join(&name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_run_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = OutDir::claim(&path).unwrap();
        assert!(matches!(OutDir::claim(&path), Err(FileError::InUse { .. })));
        drop(first);
        assert_eq!(OutDir::claim(&path).unwrap().path(), path);
    }

    #[test]
    fn what_a_killed_run_left_half_written_goes_when_the_next_one_claims_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let left = temporary_name(folder.path(), "a.safetensors");
        fs::write(&left, "half").unwrap();
        let kept = ["a.safetensors", ".hidden.tmp", "1.2.tmp", ".x.1.y.tmp"];
        for name in kept {
            fs::write(folder.path().join(name), "mine").unwrap();
        }
        OutDir::claim(folder.path()).unwrap();
        assert!(!left.exists());
        assert!(kept.iter().all(|name| folder.path().join(name).exists()));
    }

    #[test]
    fn a_write_replaces_the_old_file_and_leaves_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = write_atomic(&path, b"new").unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_output_directory_is_made_with_its_parents_and_left_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        prepare_out_dir(&path).unwrap();
        prepare_out_dir(&path).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn an_output_directory_in_the_place_of_a_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "here first").unwrap();
        let error = prepare_out_dir(&path).unwrap_err();
        assert!(matches!(error, FileError::CreateDir { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}
