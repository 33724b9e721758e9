//! The last checkpoints of one run, in files.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Checkpoint, HostState, Model, TrainError};
use crate::files::{FileError, write_atomic};

/// The checkpoints of a run in a folder: while it goes on, `<name>.<number>.safetensors`, of which
/// the last few are kept; once it is finished, `<name>.safetensors` as well.
///
/// A file is written whole or not at all, and older ones are deleted only then. If the newest one
/// is damaged all the same, [`CheckpointSeries::newest`] takes the one before.
#[derive(Clone, Debug)]
pub struct CheckpointSeries {
    folder: PathBuf,
    name: String,
    keep: usize,
}

/// What [`CheckpointSeries::newest`] found.
#[derive(Debug)]
#[non_exhaustive]
pub struct NewestCheckpoint {
    /// The newest whole one; `None` if there is none.
    pub checkpoint: Option<Checkpoint>,
    /// Whether it is that of the finished run.
    pub finished: bool,
    /// What is wrong with the files that are newer.
    pub damaged: Vec<TrainError>,
}

const EXTENSION: &str = ".safetensors";

impl CheckpointSeries {
    /// The series of that name; `keep` checkpoints stay, one at least.
    pub fn new(folder: &Path, name: &str, keep: usize) -> Self {
        Self { folder: folder.to_owned(), name: name.to_owned(), keep: keep.max(1) }
    }

    /// The file of the finished run.
    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}{EXTENSION}", self.name))
    }

    /// Whether there is any checkpoint, damaged or not.
    pub fn exists(&self) -> bool {
        self.path().exists() || self.numbers().is_ok_and(|numbers| !numbers.is_empty())
    }

    fn path_of(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{}.{number}{EXTENSION}", self.name))
    }

    /// Numbers of the checkpoints that there are, the newest first.
    fn numbers(&self) -> Result<Vec<u64>, FileError> {
        let fail = |source| FileError::Read { path: self.folder.clone(), source };
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(fail)? {
            let file = entry.map_err(fail)?.file_name();
            let number = file.to_str().and_then(|file| {
                let rest = file.strip_prefix(self.name.as_str())?.strip_prefix('.')?;
                let digits = rest.strip_suffix(EXTENSION)?;
                // No second spelling of a number.
                digits.parse().ok().filter(|number: &u64| number.to_string() == digits)
            });
            numbers.extend(number);
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(numbers)
    }

    /// Writes the checkpoint of that number, e.g. the steps so far, and deletes those that are no
    /// longer kept. Take outstanding reports before.
    ///
    /// # Errors
    /// When the device is lost, or the file cannot be written: older ones stay then.
    pub fn save(&self, number: u64, model: &Model, host: &HostState) -> Result<(), TrainError> {
        write_atomic(&self.path_of(number), &model.to_checkpoint(host)?)?;
        self.delete_all_but(self.keep)
    }

    /// Writes the checkpoint of the finished run; of the numbered ones it takes the place of one.
    ///
    /// # Errors
    /// As [`CheckpointSeries::save`].
    pub fn finish(&self, model: &Model, host: &HostState) -> Result<(), TrainError> {
        write_atomic(&self.path(), &model.to_checkpoint(host)?)?;
        self.delete_all_but(self.keep - 1)
    }

    /// Deletes all of them, those of a finished run too: what they were for is done.
    ///
    /// # Errors
    /// When the folder cannot be read. A file that cannot be deleted is a warning in the log.
    pub fn delete(&self) -> Result<(), TrainError> {
        self.delete_all_but(0)?;
        delete(&self.path());
        Ok(())
    }

    fn delete_all_but(&self, keep: usize) -> Result<(), TrainError> {
        for number in self.numbers()?.into_iter().skip(keep) {
            delete(&self.path_of(number));
        }
        Ok(())
    }

    /// The newest checkpoint that is whole.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn newest(&self) -> Result<NewestCheckpoint, TrainError> {
        let mut found = NewestCheckpoint { checkpoint: None, finished: false, damaged: Vec::new() };
        let last = self.path();
        let finished = last.exists().then_some((last, true));
        let numbered = self.numbers()?.into_iter().map(|number| (self.path_of(number), false));
        for (path, finished) in finished.into_iter().chain(numbered) {
            match Checkpoint::read(&path) {
                Ok(checkpoint) => {
                    (found.checkpoint, found.finished) = (Some(checkpoint), finished);
                    break;
                }
                Err(error) => found.damaged.push(error),
            }
        }
        Ok(found)
    }
}

/// What counts is elsewhere by now: that an old file stays is no error.
fn delete(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            log::warn!("{} cannot be deleted: {error}", path.display());
        }
        _ => {}
    }
}
