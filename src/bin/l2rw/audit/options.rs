//! The command line of an audit.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::train::Examples;
use serde_json::{Value, json};

use crate::common::{Continuation, check_apart};
use crate::data::{DataOptions, Flip, Labelled, Untold};
use crate::training::TrainingOptions;

/// Finds the labels of a data set that are probably wrong.
///
/// Trains with example weights learned from a few trusted examples (Ren et al., ICML 2018), and
/// ranks the rest by how little the network believes their labels.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// Folder for audit.html, audit.csv, summary.json, suspects.png, the network and checkpoints;
    /// not in one of the folders that are read. A finished run with the same options is written
    /// anew, any other is refused
    #[arg(long, default_value = "out/audit")]
    pub out: PathBuf,
    /// What was decided about labels so far: the export of audit.html. Corrected labels are trained
    /// with, and what is decided is not ranked again
    #[arg(long, value_name = "FILE", conflicts_with = "flip")]
    pub decisions: Option<PathBuf>,
    /// Suspects on the page
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub suspects: usize,
    /// Parts of the data, each of which is judged by two trainings without it, one with learned
    /// weights and one without; 0 for one training in all. The trusted examples are left out
    /// likewise and tell how far the networks can be believed [default: 3, for features 5]
    #[arg(long, value_name = "PARTS")]
    held_out: Option<usize>,
    /// For trials on data with right labels: makes some wrong first, `uniform:SHARE` or
    /// `asymmetric:SHARE`, and says how well they are found
    #[arg(long)]
    pub flip: Option<Flip>,
    /// Instead of auditing, writes predictions.csv by cross-validation over so many folds, for
    /// other tools to work from
    #[arg(long, value_name = "FOLDS", requires = "passes")]
    pub out_of_sample: Option<usize>,
    /// How much all folds together may compute, in forward passes of one example (a backward pass
    /// counts twice); summary.json says how many an audit took
    #[arg(long)]
    pub passes: Option<f64>,
    /// Part of the name of the adapter to run on; `l2rw doctor` lists them
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    #[command(flatten)]
    pub continuation: Continuation,
    // Groups with headings of their own, under which all that follows them would stand.
    #[command(flatten)]
    pub data: DataOptions,
    #[command(flatten)]
    pub training: TrainingOptions,
}

const EXAMPLES: &str = "\
Examples:
  l2rw audit --data photos                            # trusts a few of each class: look at them
  l2rw audit --data photos --clean checked            # folders of pictures, one a class
  l2rw audit --data list.csv                          # columns path, label, trusted
  l2rw audit --data embeddings.npy --labels labels.npy --clean-per-class 5
  l2rw audit --data photos --clean checked --decisions decisions.csv --out out/second";

impl Options {
    /// Checks what does not depend on the data.
    pub fn check(&self) -> Result<()> {
        self.training.check()?;
        self.data.check()?;
        ensure!(self.out_of_sample.is_none_or(|k| k > 1), "--out-of-sample must be at least 2");
        let passes = self.passes.unwrap_or(1.0);
        ensure!(passes > 0.0 && passes.is_finite(), "--passes {passes} is not above 0");
        self.continuation.check()?;
        self.data.folders().try_for_each(|read| check_apart(&self.out, read))
    }

    /// Parts of the data that are held out in turn.
    pub fn held_out(&self, set: &Dataset) -> usize {
        let default = if set.values.as_floats().is_some() { 5 } else { 3 };
        self.held_out.unwrap_or(default)
    }

    /// The data, with what was decided about it.
    pub fn open(&self, context: &Context) -> Result<Labelled> {
        let mut audited =
            self.data.open_trusted(context, self.training.seed, (self.flip, Untold::Draw))?;
        if let Some(file) = &self.decisions {
            audited.decide(file)?;
        }
        audited.check_trusted()?;
        Ok(audited)
    }

    /// All that decides the outcome.
    pub fn config(&self, audited: &Labelled) -> Value {
        let fingerprints =
            [&audited.set, &audited.clean].map(|set| Examples::from(set).fingerprint());
        json!({
            "training": self.training.config(),
            "held_out": self.held_out(&audited.set),
            "flip": self.flip.map(|flip| format!("{flip:?}")),
            "out_of_sample": self.out_of_sample,
            "passes": self.passes,
            "fingerprints": fingerprints,
            "decided": audited.decided.iter().filter(|decided| **decided).count(),
            "classes": audited.set.class_names,
        })
    }

    /// How this run is repeated with the decisions that the page exports.
    pub fn command_with_decisions(&self) -> String {
        let mut words = vec!["l2rw".to_owned()];
        let mut given = std::env::args().skip(1);
        while let Some(word) = given.next() {
            match word.split('=').next().unwrap_or_default() {
                "--overwrite" | "--resume" => {}
                "--out" | "--decisions" if word.contains('=') => {}
                "--out" | "--decisions" => drop(given.next()),
                _ => words.push(quoted(&word)),
            }
        }
        let out = quoted(&format!("{}-decided", self.out.display()));
        format!("{} --decisions decisions.csv --out {out}", words.join(" "))
    }
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-:=,\\".contains(c);
    match text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
