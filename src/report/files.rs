//! Output directories and files that are either old or new, never half-written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::ReportError;

/// Creates `path` (and its parents) if need be and proves that files can be written in it.
///
/// Call it before a long run: an unwritable directory should be found out before the training, not
/// after it.
///
/// # Errors
///
/// [`ReportError::CreateDir`] if the directory cannot be made (a file of that name is in the way,
/// say), [`ReportError::NotWritable`] if a file cannot be created in it.
pub fn prepare_out_dir(path: &Path) -> Result<(), ReportError> {
    fs::create_dir_all(path)
        .map_err(|source| ReportError::CreateDir { path: path.to_owned(), source })?;
    let probe = temporary_name(path, "probe");
    // Permission bits do not tell about read-only mounts, quotas or network shares; writing does.
    File::create_new(&probe)
        .and_then(|mut file| file.write_all(b"l2rw"))
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|source| {
            // The probe may be half there; what failed first is the error to report.
            let _ = fs::remove_file(&probe);
            ReportError::NotWritable { path: path.to_owned(), source }
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
/// [`ReportError::Write`]; the temporary file is removed and an older `path` is left as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = temporary_name(directory_of(path), &name);
    write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, path)).map_err(|source| {
        // Best effort: the directory may be what is broken.
        let _ = fs::remove_file(&temporary);
        ReportError::Write { path: path.to_owned(), source }
    })
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
