//! `l2rw train`: a classifier from data with doubtful labels and a few trusted ones.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use l2rw::data::Dataset;
use l2rw::files::write_atomic;
use l2rw::gpu::Context;
use l2rw::train::{Examples, HostState, StepReport, WeightLedger};
use l2rw::weighting::{self, Setup, variants};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cells::{as_text, write_csv};
use crate::common::{Continuation, RunFolder, Stop, Team, check_apart, open_adapter};
use crate::data::{DataOptions, Labelled, Untold};
use crate::predict::{Inputs, ModelFacts};
use crate::training::{self, Account, Steps, TrainingOptions};

/// Trains a network on data with doubtful labels and a few trusted examples.
///
/// Writes model.safetensors, from which `l2rw predict` classifies, and weights.csv, which tells how
/// much each example counted.
#[derive(Args, Debug)]
#[command(after_help = examples())]
pub struct Options {
    /// How examples are weighted; the names are listed below
    #[arg(long, default_value = "l2rw")]
    pub method: String,
    /// Folder for the network, tables and checkpoints; not in one of the folders that are read
    #[arg(long, default_value = "out/train")]
    pub out: PathBuf,
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

fn examples() -> String {
    let names: Vec<&str> = variants().map(|variant| variant.name).collect();
    format!(
        "Methods: {}\n\nExamples:\n  \
         l2rw train --data photos --clean checked --steps 2000\n  \
         l2rw train --data embeddings.parquet --clean-per-class 5 --out out/sentences\n  \
         l2rw train --data list.csv --method mwn --resume",
        names.join(", ")
    )
}

/// Name of the network's file, and of the checkpoints on the way there.
const MODEL: &str = "model";
const CHECKPOINTS: &str = "checkpoint";

/// What a run may write into its folder besides checkpoints.
const FILES: [&str; 2] = ["weights.csv", "results.json"];

/// results.json
#[derive(Serialize)]
struct Results<'a> {
    data: &'a str,
    examples: usize,
    trusted: usize,
    notes: &'a [String],
    method: &'a str,
    model: &'a str,
    steps: u64,
    seconds: f64,
    /// Steps at which no example helped.
    zero_weight_steps: u64,
    /// Steps that were left out since a number was not finite.
    skipped_steps: u64,
    /// Share of the trusted labels that the network agrees with: it has learned their weights from
    /// them.
    trusted_accuracy: f64,
    /// Of the test part, where the data has one.
    test_accuracy: Option<f64>,
}

/// What is added up on the way.
struct Sums {
    ledger: WeightLedger,
    zero_weight_steps: u64,
    skipped_steps: u64,
    seconds: f64,
}

impl Account for Sums {
    fn state(&self) -> Result<HostState> {
        let mut host = HostState::new(&(self.zero_weight_steps, self.skipped_steps, self.seconds))?;
        self.ledger.store(&mut host, "ledger");
        Ok(host)
    }

    fn report(&mut self, report: &StepReport) -> Result<()> {
        if report.is_skipped() {
            self.skipped_steps += 1;
            return Ok(());
        }
        self.zero_weight_steps += u64::from(report.is_zero_weight());
        Ok(self.ledger.record(&report.indices, &report.weights)?)
    }

    fn after(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn seconds(&mut self) -> &mut f64 {
        &mut self.seconds
    }
}

/// Whether everything is done.
pub fn run(options: &Options, team: &Team) -> Result<bool> {
    options.check()?;
    let devices = open_adapter(options.adapter.clone(), team)?;
    println!("adapter: {}", devices.context().describe());
    let data = options.data.open_trusted(
        &devices.context(),
        options.training.seed,
        (None, Untold::Refuse),
    )?;
    data.say();
    if let Some(augmentation) = options.training.augmentation(&data.set) {
        println!("{augmentation}");
    }
    let run = ("train", vec![options.method.clone()], options.config(&data));
    let (mut folder, _) = RunFolder::open(&options.out, &options.continuation, run, owns, team)?;
    let stop = Stop::on_signals(team)?;
    let done = devices.with(|context| train(options, &data, context, &folder, &stop))?;
    if done {
        folder.finished()?;
    }
    Ok(done)
}

fn owns(name: &str) -> bool {
    let series = name.strip_suffix(".safetensors").and_then(|name| name.split('.').next());
    series.is_some_and(|series| [MODEL, CHECKPOINTS].contains(&series)) || FILES.contains(&name)
}

impl Options {
    fn check(&self) -> Result<()> {
        self.training.check()?;
        self.data.check()?;
        self.continuation.check()?;
        self.data.folders().try_for_each(|read| check_apart(&self.out, read))
    }

    /// What examples have to go through before this network.
    fn inputs(&self, data: &Labelled) -> Inputs {
        match &data.columns {
            Some(columns) => Inputs::Features { columns: columns.clone() },
            None => {
                let pictures = &self.data.pictures;
                let (letterbox, background) = (pictures.letterbox, pictures.background.0);
                Inputs::Pictures { letterbox, background }
            }
        }
    }

    /// All that decides the outcome.
    fn config(&self, data: &Labelled) -> Value {
        let fingerprints = [&data.set, &data.clean].map(|set| Examples::from(set).fingerprint());
        json!({
            "training": self.training.config(),
            "fingerprints": fingerprints,
            "classes": data.set.class_names,
        })
    }
}

fn train(
    options: &Options,
    data: &Labelled,
    context: &Context,
    folder: &RunFolder,
    stop: &Stop,
) -> Result<bool> {
    let training = &options.training;
    let network = training.network(&data.set)?;
    let steps = training.steps(&data.set);
    let mut trainer_options = training.trainer(&data.set, data.clean.len(), steps);
    let setup = Setup { steps, ..Setup::default() };
    trainer_options.weighting = training.adjusted(weighting::by_name(&options.method, &setup)?);
    let examples = ((&data.set).into(), Some((&data.clean).into()));
    let mut trainer =
        training.fitting(context, &network, examples, (&mut trainer_options, stop.team()))?;
    let series = folder.series(CHECKPOINTS);
    let ledger = WeightLedger::new(data.set.len());
    let mut sums = Sums { ledger, zero_weight_steps: 0, skipped_steps: 0, seconds: 0.0 };
    if let Some(checkpoint) = folder.newest(&series)? {
        trainer.model_mut().resume(&checkpoint)?;
        sums.ledger = WeightLedger::stored(checkpoint.host(), "ledger")?;
        (sums.zero_weight_steps, sums.skipped_steps, sums.seconds) = checkpoint.host().json()?;
        println!("goes on after step {}", trainer.steps());
    }
    let every = options.continuation.every(steps);
    let run = Steps { name: "train", steps, first: 0, every, series: &series, stop };
    if !run.take(&mut trainer, &mut sums)? {
        return Ok(false);
    }
    let accuracy = |set: &Dataset| -> Result<f64> {
        let predictions = training::evaluation(trainer.model(), set.into())?.scores()?.predictions;
        let right = predictions.iter().zip(&set.labels).filter(|(a, b)| a == b).count();
        Ok(right as f64 / set.len().max(1) as f64)
    };
    let results = Results {
        data: &data.set.name,
        examples: data.set.len(),
        trusted: data.clean.len(),
        notes: &data.notes,
        method: &options.method,
        model: &network.name,
        steps,
        seconds: sums.seconds,
        zero_weight_steps: sums.zero_weight_steps,
        skipped_steps: sums.skipped_steps,
        trusted_accuracy: accuracy(&data.clean)?,
        test_accuracy: data.test.as_ref().map(accuracy).transpose()?,
    };
    let file = options.out.join(format!("{MODEL}.safetensors"));
    stop.team().on_first(|| {
        write_weights(options, data, &sums.ledger)?;
        let json = serde_json::to_vec_pretty(&results)?;
        write_atomic(&options.out.join("results.json"), &json)?;
        let name = training.network_name(&data.set);
        let facts = ModelFacts::of(name, &data.set, options.inputs(data));
        facts.save(trainer.model(), &file)?;
        Ok(series.delete()?)
    })?;
    results.print();
    println!("wrote {}", file.display());
    Ok(true)
}

impl Results<'_> {
    fn print(&self) {
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        println!("agrees with {} of the trusted labels", percent(self.trusted_accuracy));
        if let Some(accuracy) = self.test_accuracy {
            println!("classifies {} of the test part rightly", percent(accuracy));
        }
        if self.zero_weight_steps > 0 {
            println!("{} of {} steps had no weight", self.zero_weight_steps, self.steps);
        }
        training::say_skipped(self.skipped_steps);
    }
}

/// weights.csv: how much each example counted, in units of the uniform weight.
fn write_weights(options: &Options, data: &Labelled, ledger: &WeightLedger) -> Result<()> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["example", "label", "mean_weight"])?;
    for (index, name) in data.names.iter().enumerate() {
        let label = &data.set.class_names[data.set.labels[index] as usize];
        let weight = ledger.mean(index).map(|weight| weight.to_string()).unwrap_or_default();
        csv.write_record([&*as_text(name), &*as_text(label), &weight])?;
    }
    write_csv(&options.out.join("weights.csv"), csv)
}
