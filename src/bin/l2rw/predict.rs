//! `l2rw predict`: classes and probabilities of new examples.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use l2rw::data::{self, Dataset, Values};
use l2rw::nn::{Normalisation, Shape, zoo};
use l2rw::train::{HostState, Model, Predictor, SavedModel};
use serde::{Deserialize, Serialize};

use crate::cells::{as_text, write_csv};
use crate::common::{Team, open_adapter};
use crate::data::{NewExamples, PictureArguments, TableArguments};
use crate::training::with_batch_that_fits;

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
    /// A picture, a folder of pictures and of further folders, or a table of features
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Where the predictions go
    #[arg(long, value_name = "FILE", default_value = "out/predictions.csv")]
    pub out: PathBuf,
    /// Leave out pictures that cannot be read, and say which
    #[arg(long)]
    pub leave_out_unreadable: bool,
    /// Part of the name of the adapter to run on; `l2rw doctor` lists them
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    #[command(flatten)]
    pub table: TableArguments,
}

const EXAMPLES: &str = "\
Examples:
  l2rw predict --data new_photos
  l2rw predict --model out/sentences/model.safetensors --data new.npy --out new.csv";

/// What `l2rw train` tells about its network in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelFacts {
    network: String,
    /// Height, width and channels.
    shape: [usize; 3],
    classes: Vec<String>,
    inputs: Inputs,
}

/// How examples became what the network takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Inputs {
    Pictures { letterbox: bool, background: [u8; 3] },
    Features { columns: Vec<String> },
}

impl ModelFacts {
    /// Of a network of the zoo for this data.
    pub fn of(network: &str, set: &Dataset, inputs: Inputs) -> Self {
        let shape = [set.height, set.width, set.channels];
        Self { network: network.to_owned(), shape, classes: set.class_names.clone(), inputs }
    }

    /// Writes the network with them.
    pub fn save(&self, model: &Model, path: &Path) -> Result<()> {
        Ok(model.save_parameters(path, &HostState::new(self)?)?)
    }

    fn of_file(saved: &SavedModel, path: &Path) -> Result<Self> {
        saved
            .host()
            .json()
            .with_context(|| format!("{} was not written by `l2rw train`", path.display()))
    }
}

/// Examples that are classified at once.
const BATCH: usize = 100;

/// Whether everything is done.
pub fn run(options: &Options) -> Result<bool> {
    let saved = SavedModel::read(&options.model)?;
    let facts = ModelFacts::of_file(&saved, &options.model)?;
    let examples = options.examples(&facts)?;
    println!("{}: {} examples", options.data.display(), examples.names.len());
    examples.notes.iter().for_each(|note| println!("  {note}"));
    let [height, width, channels] = facts.shape;
    let shape = Shape::new(height, width, channels);
    let network = zoo::by_name(&facts.network, shape, facts.classes.len(), Normalisation::batch())?;
    let devices = open_adapter(options.adapter.clone(), &Team::default())?;
    println!("adapter: {}", devices.context().describe());
    let probabilities = devices.with(|context| {
        let mut predictor = Predictor::new(context, &network, &saved)?;
        let predictions = with_batch_that_fits(BATCH, |batch| match &examples.values {
            Values::Bytes(bytes) => predictor.predict(bytes, batch),
            Values::Floats(floats) => predictor.predict(floats, batch),
        })?;
        log::info!("{} bytes of device memory", predictor.memory_bytes());
        Ok(predictions.probabilities())
    })?;
    let rows: Vec<&[f32]> = probabilities.chunks(facts.classes.len()).collect();
    write(&options.out, &facts.classes, &examples.names, &rows)?;
    println!("wrote {}", options.out.display());
    Ok(true)
}

impl Options {
    fn examples(&self, facts: &ModelFacts) -> Result<NewExamples> {
        match &facts.inputs {
            Inputs::Features { columns } => {
                ensure!(
                    data::is_table(&self.data),
                    "{} classifies rows of {} features: give a table",
                    self.model.display(),
                    columns.len()
                );
                NewExamples::of_table(&self.data, &self.table, columns)
            }
            Inputs::Pictures { letterbox, background } => {
                ensure!(
                    !data::is_table(&self.data),
                    "{} classifies pictures: give a picture or a folder",
                    self.model.display()
                );
                let pictures = PictureArguments {
                    leave_out_unreadable: self.leave_out_unreadable,
                    ..PictureArguments::of_network(facts.shape, *letterbox, *background)
                };
                NewExamples::of_pictures(&self.data, &pictures, facts.shape[2])
            }
        }
    }
}

fn write(path: &Path, classes: &[String], names: &[String], rows: &[&[f32]]) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let head = ["example", "class", "probability"].map(str::to_owned);
    let columns = classes.iter().map(|name| as_text(name).into_owned());
    csv.write_record(head.into_iter().chain(columns))?;
    for (name, row) in names.iter().zip(rows) {
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or_default();
        let class = as_text(&classes[best]).into_owned();
        let head = [as_text(name).into_owned(), class, row[best].to_string()];
        csv.write_record(head.into_iter().chain(row.iter().map(f32::to_string)))?;
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    write_csv(path, csv)
}
