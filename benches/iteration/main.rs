//! What an iteration costs, and where: prints tables and writes `target/bench.json`.
//!
//! `cargo bench --bench iteration -- [MODEL …] [options]`; `--help` lists the options.

mod kernels;
mod models;
mod peaks;
mod profile;
mod scale;
mod slices;
mod stages;
mod start;
mod streaming;
mod support;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, ValueEnum};
use l2rw::data::default_cache_dir;
use l2rw::files::write_atomic;
use l2rw::gpu::{Context, Precision};
use l2rw::nn::Network;
use serde::Serialize;

/// The models that are measured unless others are named.
const MODELS: [&str; 5] = ["mnist_lenet", "caffe_lenet", "resnet8", "resnet20-gn8", "resnet32"];

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A plain step against an L2RW step
    Models,
    /// Where the time of an L2RW step goes, on the device and on the host
    Stages,
    /// Kernels against the measured peaks of the adapter
    Kernels,
    /// Time to the first step, and memory
    Start,
    /// Steps cut into short submissions
    Slices,
    /// A training set on the device, in memory and on disk
    Streaming,
    /// Seconds per doubling of n, m, width and depth
    Scale,
}

/// What an iteration costs, and where
#[derive(Debug, Parser)]
struct Options {
    /// Names of the model zoo, e.g. resnet32, resnet20-gn8, wrn-28-10
    models: Vec<String>,
    /// Measure these parts only: models, stages, kernels, start, slices, streaming or scale
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
    /// Measure how seconds grow with n, m, width and depth as well
    #[arg(long)]
    scale: bool,
    /// Measure WideResNet-28-10's convolutions on software adapters as well
    #[arg(long)]
    wide: bool,
    /// Timed rounds, each of which runs every variant once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print the time of an L2RW step by kernel and by layer, and nothing else
    #[arg(long)]
    profile: bool,
    /// Part of an adapter's name
    #[arg(long)]
    adapter: Option<String>,
    /// Staged kernels sum up in the adapter's cooperative matrices
    #[arg(long)]
    matrices: bool,
    /// Staged kernels round the factors of the last backward pass to f16
    #[arg(long)]
    f16: bool,
    /// Where the figures go
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench.json"))]
    out: PathBuf,
    /// Opens a context, takes one step and prints what that took: how the program calls itself
    #[arg(long, hide = true)]
    first_step: bool,
    /// Where it keeps its pipelines
    #[arg(long, hide = true)]
    pipeline_cache: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        match part {
            _ if !self.only.is_empty() => self.only.contains(&part),
            Part::Scale => self.scale,
            _ => true,
        }
    }

    /// The adapter, tuned as it was measured and as the options say.
    fn context(&self) -> Result<Context> {
        let name = self.adapter.as_deref();
        let (context, matrices) = match self.matrices {
            false => (Context::new(name)?, None),
            true => support::open_with_matrices(name)?,
        };
        let context = context.tuned_by(&default_cache_dir()?);
        let mut tuning = context.tuning();
        if let Some(staging) = tuning.staging.as_mut() {
            staging.matrices = matrices.or(staging.matrices);
            if self.f16 {
                staging.precision = Precision::F16;
            }
        }
        let staged = tuning.staging.is_some() || !(self.matrices || self.f16);
        ensure!(
            staged,
            "{} stages no factors: --matrices and --f16 need it to",
            context.describe()
        );
        ensure!(tuning.is_offered(&context), "{} has no f16", context.describe());
        Ok(context.with_tuning(tuning))
    }

    fn networks(&self) -> Result<Vec<Network>> {
        let names: Vec<&str> = match self.models.as_slice() {
            [] => MODELS.to_vec(),
            names => names.iter().map(String::as_str).collect(),
        };
        names.into_iter().map(support::by_name).collect()
    }
}

/// `target/bench.json`. Parts that were not measured are absent.
#[derive(Serialize)]
struct Results {
    adapter: String,
    rounds: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<models::Row>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<Vec<stages::Model>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<start::Start>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peaks: Option<peaks::Peaks>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernels: Option<Vec<kernels::Row>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slices: Option<Vec<slices::Slices>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    streaming: Option<Vec<streaming::Streaming>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<Vec<scale::Row>>,
}

fn main() -> Result<()> {
    sigpipe::reset();
    let options = Options::parse();
    ensure!(options.rounds > 0, "--rounds must be at least 1");
    let networks = options.networks()?;
    if options.first_step {
        return start::child(
            options.adapter.as_deref(),
            options.pipeline_cache.as_deref(),
            networks.first().context("no model")?,
        );
    }
    let context = options.context()?;
    println!("adapter: {}", context.describe());
    if options.profile {
        return networks.iter().try_for_each(|network| profile::print(&context, network));
    }
    let results = measure(&context, &networks, &options)?;
    write(&results, &options.out)
}

fn measure(context: &Context, networks: &[Network], options: &Options) -> Result<Results> {
    let rounds = options.rounds;
    let adapter = options.adapter.as_deref();
    let mut results = Results {
        adapter: context.describe(),
        rounds,
        models: None,
        stages: None,
        start: None,
        peaks: None,
        kernels: None,
        slices: None,
        streaming: None,
        scale: None,
    };
    if options.wants(Part::Models) {
        results.models = Some(models::measure(context, networks, rounds)?);
    }
    if options.wants(Part::Stages) {
        results.stages = Some(stages::measure(context, networks, rounds)?);
    }
    if options.wants(Part::Start) {
        results.start = Some(start::measure(context, networks, adapter)?);
    }
    if options.wants(Part::Kernels) {
        let peaks = peaks::measure(context, rounds)?;
        let wide = options.wide || !context.is_software();
        results.kernels = Some(kernels::measure(context, &peaks, wide, rounds)?);
        results.peaks = Some(peaks);
    }
    if options.wants(Part::Slices) {
        results.slices = Some(slices::measure(context, networks, rounds)?);
    }
    if options.wants(Part::Streaming) {
        results.streaming = Some(streaming::measure(context, networks, rounds)?);
    }
    if options.wants(Part::Scale) {
        results.scale = Some(scale::measure(context, rounds)?);
    }
    Ok(results)
}

fn write(results: &Results, path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    write_atomic(path, serde_json::to_string_pretty(results)?.as_bytes())?;
    println!("\nwrote {}", path.display());
    Ok(())
}
