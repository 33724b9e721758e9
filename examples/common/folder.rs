//! Output folders: which run is in there, and whether it may be gone on with or replaced.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use l2rw::files::{OutDir, write_atomic};
use l2rw::train::{Checkpoint, CheckpointSeries, Difference};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Team;

/// Options about interrupted runs.
#[derive(Args, Clone, Debug)]
pub struct Continuation {
    /// Go on with the run in --out, which has to have the same options; it ends with the same bits
    /// as if it had never stopped. Where there is none yet, one begins
    #[arg(long)]
    pub resume: bool,
    /// Begin anew and delete the run in --out, whatever it is
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,
    /// Steps from one checkpoint to the next [default: a tenth of the run, at most 1000]
    #[arg(long, value_name = "STEPS")]
    checkpoint_every: Option<u64>,
    /// Checkpoints that are kept of a run: if the newest is damaged, --resume takes the one before
    #[arg(long, value_name = "N", default_value_t = 2)]
    keep: usize,
}

impl Continuation {
    /// Checks what the parser does not.
    pub fn check(&self) -> Result<()> {
        ensure!(self.checkpoint_every != Some(0), "--checkpoint-every must be at least 1");
        ensure!(self.keep > 0, "--keep must be at least 1");
        Ok(())
    }

    /// Steps from one checkpoint to the next in a run of so many.
    pub fn every(&self, steps: u64) -> u64 {
        self.checkpoint_every.unwrap_or_else(|| (steps / 10).clamp(10, 1000))
    }
}

/// `run.json`: what run an output folder holds.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    program: String,
    /// What the run does, one after the other: methods, say. A resumed run may get more.
    parts: Vec<String>,
    /// All that decides its outcome.
    config: Value,
    /// Whether every part is done.
    finished: bool,
}

const RECORD: &str = "run.json";

/// An output folder that belongs to this run.
pub struct RunFolder {
    path: PathBuf,
    /// Of the rank that writes.
    _claim: Option<OutDir>,
    record: Record,
    keep: usize,
    team: Team,
}

impl RunFolder {
    /// Claims a folder for a run.
    ///
    /// A folder in which the same run is finished is written anew. One with another or an
    /// unfinished run is refused, unless the options say what to do. `owns` tells by its name
    /// whether a file in there is one of the program's: such are deleted when a run begins anew.
    /// Returns with the folder what is to be done, what an earlier run had begun included. Of
    /// several ranks the first one has the folder, and all make the same calls.
    pub fn open(
        path: &Path,
        options: &Continuation,
        run: (&str, Vec<String>, Value),
        owns: fn(&str) -> bool,
        team: &Team,
    ) -> Result<(Self, Vec<String>)> {
        let mut claim = None;
        let record = team.on_first(|| {
            claim = Some(OutDir::claim(path)?);
            Self::begun(path, options, run, owns)
        })?;
        let parts = record.parts.clone();
        let (path, team) = (path.to_owned(), team.clone());
        let folder = Self { path, _claim: claim, record, keep: options.keep, team };
        folder.write()?;
        Ok((folder, parts))
    }

    /// The record of a run in a folder that has been made ready for it.
    fn begun(
        path: &Path,
        options: &Continuation,
        (program, parts, config): (&str, Vec<String>, Value),
        owns: fn(&str) -> bool,
    ) -> Result<Record> {
        let mut record = Record { program: program.to_owned(), parts, config, finished: false };
        let there = Self::there(path, owns)?;
        match there {
            None => {}
            Some(_) if options.overwrite => delete_all(path, owns)?,
            Some(there) => {
                let differs = there.differs_from(&record);
                let place = path.display();
                if let Some(differs) = differs {
                    bail!(
                        "{place} holds another run: {differs}; repeat its options, choose another \
                         --out, or delete it with --overwrite"
                    );
                }
                if options.resume {
                    let new = record.parts.into_iter().filter(|p| !there.parts.contains(p));
                    record.parts = there.parts.iter().cloned().chain(new).collect();
                } else {
                    ensure!(
                        there.finished && there.parts == record.parts,
                        "{place} holds {} run of {}: go on with --resume, choose another --out, or \
                         delete it with --overwrite",
                        if there.finished { "a finished" } else { "an unfinished" },
                        there.parts.join(", ")
                    );
                    delete_all(path, owns)?;
                }
            }
        }
        Ok(record)
    }

    /// The record of the run that is there; a made-up one where files of the program lie without.
    fn there(path: &Path, owns: fn(&str) -> bool) -> Result<Option<Record>> {
        let file = path.join(RECORD);
        if file.exists() {
            let text = fs::read_to_string(&file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            let record = serde_json::from_str(&text).with_context(|| {
                format!("{} is not a run's record: choose another --out", file.display())
            })?;
            return Ok(Some(record));
        }
        let unknown = !owned_files(path, owns)?.is_empty();
        Ok(unknown.then(|| Record {
            program: "unknown".into(),
            parts: Vec::new(),
            config: Value::Null,
            finished: false,
        }))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoints of a part of the run.
    pub fn series(&self, name: &str) -> CheckpointSeries {
        CheckpointSeries::new(self.path(), name, self.keep)
    }

    /// The checkpoint to go on from; says which are damaged.
    pub fn newest(&self, series: &CheckpointSeries) -> Result<Option<Checkpoint>> {
        let mut bytes = Vec::new();
        let there = self.team.on_first(|| {
            let newest = series.newest()?;
            for damaged in &newest.damaged {
                let instead = match newest.checkpoint {
                    Some(_) => "the one before is taken",
                    None => "there is no other, it begins anew",
                };
                eprintln!("warning: {damaged}; {instead}");
            }
            let checkpoint = newest.checkpoint.map(Checkpoint::into_bytes);
            let there = checkpoint.is_some();
            bytes = checkpoint.unwrap_or_default();
            Ok(there)
        })?;
        let bytes = there.then(|| self.team.of_first(bytes)).transpose()?;
        Ok(bytes.map(Checkpoint::from_bytes).transpose()?)
    }

    /// Says that every part is done.
    pub fn finished(&mut self) -> Result<()> {
        self.record.finished = true;
        self.write()
    }

    fn write(&self) -> Result<()> {
        self.team.on_first(|| {
            let json = serde_json::to_vec_pretty(&self.record)?;
            Ok(write_atomic(&self.path().join(RECORD), &json)?)
        })
    }
}

impl Record {
    /// In what this run differs from another one, the parts left out.
    fn differs_from(&self, other: &Self) -> Option<String> {
        if self.program != other.program {
            return Some(format!("it is of the program '{}'", self.program));
        }
        let found = Difference::between(&self.config, &other.config);
        let text: Vec<String> = found.iter().map(Difference::to_string).collect();
        (!text.is_empty()).then(|| text.join("; "))
    }
}

fn owned_files(path: &Path, owns: fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let read = || format!("{} cannot be read", path.display());
    for entry in fs::read_dir(path).with_context(read)? {
        let name = entry.with_context(read)?.file_name();
        if name.to_str().is_some_and(owns) {
            files.push(path.join(name));
        }
    }
    Ok(files)
}

/// The record goes last: what is left of an interrupted deletion is still somebody's.
fn delete_all(path: &Path, owns: fn(&str) -> bool) -> Result<()> {
    let record = path.join(RECORD);
    let record = record.exists().then_some(record);
    for file in owned_files(path, owns)?.into_iter().chain(record) {
        fs::remove_file(&file).with_context(|| format!("{} cannot be deleted", file.display()))?;
    }
    Ok(())
}

/// Refuses an output folder that lies in a folder that is read: the next run would read what this
/// one wrote.
pub fn check_apart(out: &Path, read: &Path) -> Result<()> {
    let Ok(read) = read.canonicalize() else { return Ok(()) };
    ensure!(
        !resolved(out).starts_with(&read),
        "--out {} lies in {}, from which is read: choose a folder outside of it",
        out.display(),
        read.display()
    );
    Ok(())
}

/// The path without links and `..`, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let known = whole.ancestors().find_map(|ancestor| {
        let rest = whole.strip_prefix(ancestor).ok()?;
        Some(ancestor.canonicalize().ok()?.join(rest))
    });
    known.unwrap_or(whole)
}
