//! `l2rw predict`: classes and probabilities of new examples.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::train::Model;
use serde::{Deserialize, Serialize};

use crate::cells::{as_text, write_csv};
use crate::common::Devices;
use crate::data::{Labelled, TableArguments};
use crate::train;

/// Classifies new examples with a network that `l2rw train` wrote.
///
/// Writes a CSV: the example, the most probable class, its probability, and a column of
/// probabilities for each class.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Options {
    /// The network: model.safetensors of `l2rw train`
    #[arg(long, value_name = "FILE", default_value = "out/train/model.safetensors")]
    pub model: PathBuf,
    /// Pictures, in any folders below this one, or a table of features
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Where the predictions go
    #[arg(long, value_name = "FILE", default_value = "out/predictions.csv")]
    pub out: PathBuf,
    /// Leave out pictures that cannot be read, and say which
    #[arg(long)]
    pub leave_out_unreadable: bool,
    #[command(flatten)]
    pub table: TableArguments,
    /// Part of the name of the adapter to run on; `l2rw doctor` lists them
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  l2rw predict --data new_photos
  l2rw predict --model out/sentences/model.safetensors --data new.npy --out new.csv";

/// What `l2rw train` tells about its network in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelFacts {
}

impl ModelFacts {
    pub fn of(_options: &train::Options, _data: &Labelled, _network: &str) -> Self {
        Self {}
    }

    pub fn save(&self, model: &Model, path: &Path) -> Result<()> {
        Ok(model.save(path)?)
    }
}

pub fn run(_options: &Options) -> Result<bool> {
    Ok(true)
}
