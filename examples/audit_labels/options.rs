//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, anyhow, ensure};
use clap::Parser;
use l2rw::data::{Corruption, asymmetric_map};
use l2rw::train::ImageSet;
use serde_json::{Value, json};

use crate::common::{Continuation, check_apart};
use crate::data::Audited;

/// Finds the labels of a data set that are probably wrong: trains with example weights learned from
/// a few trusted examples (Ren et al., ICML 2018), and ranks the rest by how little the model
/// believes their labels.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Options {
    /// The doubtful data: pictures as <class>/* or train/<class>/*, the binary
    /// version of CIFAR-10 or CIFAR-100, or MNIST-style IDX files (of both the training part)
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Trusted pictures of the same classes, <class>/*
    #[arg(long, value_name = "DIR", required_unless_present = "clean_per_class")]
    pub clean: Option<PathBuf>,
    /// Or so many of each class of the data itself, drawn at random: trusted.csv lists them, and
    /// they should be looked at before the result is believed
    #[arg(long, value_name = "N", conflicts_with = "clean")]
    pub clean_per_class: Option<usize>,
    /// Folder for audit.csv, suspects.png, summary.json and checkpoints; not in one of the folders
    /// that are read. A finished run with the same options is written anew, any other is refused
    #[arg(long, default_value = "out/audit_labels")]
    pub out: PathBuf,
    /// Network, e.g. lenet5, resnet8-w8, resnet20-gn8 [default: lenet5 for grey images, resnet8-w8
    /// for others]
    #[arg(long)]
    pub model: Option<String>,
    /// Training steps
    #[arg(long, default_value_t = 800)]
    pub steps: u64,
    /// Training images of a step
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Trusted images of a step [default: 20, or all if there are fewer]: few make a step cheaper
    #[arg(long)]
    pub clean_batch: Option<usize>,
    /// Learning rate of AdamW
    #[arg(long, default_value_t = 0.003)]
    pub learning_rate: f32,
    /// Only the first images of each class
    #[arg(long)]
    pub images_per_class: Option<usize>,
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
    #[command(flatten)]
    pub continuation: Continuation,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
    /// Part of the name of the adapter to run on
    #[arg(long)]
    pub adapter: Option<String>,
}

/// Label noise for trials.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    asymmetric: bool,
    share: f64,
}

impl FromStr for Flip {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || anyhow!("'{text}' is not uniform:SHARE or asymmetric:SHARE");
        let (kind, share) = text.split_once(':').ok_or_else(wrong)?;
        let share = share.parse().map_err(|_| wrong())?;
        match kind {
            "uniform" => Ok(Self { asymmetric: false, share }),
            "asymmetric" => Ok(Self { asymmetric: true, share }),
            _ => Err(wrong()),
        }
    }
}

impl Flip {
    /// The corruption of a data set with these classes.
    pub fn corruption(self, class_names: &[String]) -> Corruption {
        match self.asymmetric {
            true => {
                Corruption::AsymmetricFlip { share: self.share, map: asymmetric_map(class_names) }
            }
            false => Corruption::UniformFlip { share: self.share },
        }
    }
}

impl Options {
    /// Checks what does not depend on the data.
    pub fn check(&self) -> Result<()> {
        ensure!(self.steps > 0, "--steps must be at least 1");
        ensure!(self.batch > 0, "--batch must be at least 1");
        ensure!(self.clean_batch != Some(0), "--clean-batch must be at least 1");
        ensure!(self.clean_per_class != Some(0), "--clean-per-class must be at least 1");
        ensure!(self.images_per_class != Some(0), "--images-per-class must be at least 1");
        ensure!(self.out_of_sample.is_none_or(|k| k > 1), "--out-of-sample must be at least 2");
        let (rate, passes) = (self.learning_rate, self.passes.unwrap_or(1.0));
        ensure!(rate > 0.0 && rate.is_finite(), "--learning-rate {rate} is not above 0");
        ensure!(passes > 0.0 && passes.is_finite(), "--passes {passes} is not above 0");
        self.continuation.check()?;
        let read = [Some(&self.data), self.clean.as_ref()];
        read.into_iter().flatten().try_for_each(|read| check_apart(&self.out, read))
    }

    /// All that decides the outcome.
    pub fn config(&self, audited: &Audited) -> Value {
        let fingerprints = [&audited.set, &audited.clean].map(|s| ImageSet::from(s).fingerprint());
        json!({
            "model": self.model,
            "steps": self.steps,
            "batch": self.batch,
            "clean_batch": self.clean_batch,
            "learning_rate": self.learning_rate.to_string(),
            "flip": self.flip.map(|flip| format!("{flip:?}")),
            "out_of_sample": self.out_of_sample,
            "passes": self.passes,
            "seed": self.seed,
            "fingerprints": fingerprints,
            "classes": audited.set.class_names,
        })
    }
}
