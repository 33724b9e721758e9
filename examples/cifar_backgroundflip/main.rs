//! BackgroundFlip (Ren et al., ICML 2018, table 2): many training images carry the label of one
//! background class. Plain training learns the noise; with a few trusted images L2RW does not.

#[path = "../common/mod.rs"]
mod common;
mod experiment;
mod options;
mod output;
mod run;
mod running;
mod sweep;

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser;
use l2rw::gpu::Context;
use l2rw::report::results;
use l2rw::train::Recipe;

use common::{RunFolder, Stop, fail, open_adapter};
use experiment::Experiment;
use options::{Options, Preset};
use sweep::Sweep;

fn main() -> ExitCode {
    sigpipe::reset();
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error,l2rw=warn"));
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or("the command line cannot be read");
            return fail(&anyhow!("{}", line.trim_start_matches("error: ")));
        }
    };
    match compare(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => Stop::exit_code(),
        Err(error) => fail(&error),
    }
}

/// Whether everything is done.
fn compare(options: &Options) -> Result<bool> {
    options.check()?;
    let devices = open_adapter(options.adapter.clone())?;
    let context = devices.context();
    let preset = preset(options, &context);
    let experiment = Experiment::new(options, preset)?;
    describe(&experiment);
    let stop = Stop::on_signals()?;
    if options.print_plan {
        for recipe in options.recipes() {
            let trainer = experiment.trainer(&context, &recipe, None, &stop)?;
            trainer.iter().for_each(|trainer| print!("{}", trainer.plan()));
        }
        return Ok(true);
    }
    let parts = options.recipes().iter().map(Recipe::to_string).collect();
    let config = serde_json::to_value(&experiment.config)?;
    let run = ("cifar_backgroundflip", parts, config);
    let (folder, parts) = RunFolder::open(&options.out, &options.continuation, run, owns)?;
    let every = options.continuation.every(experiment.config.steps);
    Sweep::new(&experiment, &devices, (folder, parts), &stop, every)?.run()
}

/// Whether a file of the output folder is one of this program's, by its name.
fn owns(name: &str) -> bool {
    let of_series = || {
        let series = name.strip_suffix(".safetensors")?.split('.').next()?;
        Some(series == run::PLAIN || series.parse::<Recipe>().is_ok())
    };
    name == results::FILE_NAME || output::PICTURES.contains(&name) || of_series() == Some(true)
}

fn describe(experiment: &Experiment) {
    let config = &experiment.config;
    let sizes = experiment.class_sizes();
    let about = match (config.long_tail, sizes.iter().max(), sizes.iter().min()) {
        (Some(_), Some(most), Some(least)) => format!("from {most} down to {least} a class"),
        _ => format!("{:.1} % of the labels wrong", 100.0 * experiment.corrupted_share()),
    };
    println!(
        "{}: {} training images ({about}), {} trusted, {} for testing",
        config.data,
        experiment.train.len(),
        experiment.clean.len(),
        experiment.test.len()
    );
    println!(
        "{}: {} parameters, {} steps of {} images",
        config.model,
        experiment.network.parameter_count(),
        config.steps,
        config.batch
    );
}

fn preset(options: &Options, context: &Context) -> Preset {
    println!("adapter: {}", context.describe());
    if let Some(preset) = options.preset {
        return preset;
    }
    if context.is_software() {
        println!(
            "preset: quick, because this adapter computes on the CPU (--preset paper for all)"
        );
        return Preset::Quick;
    }
    println!("preset: paper, because there is a GPU (--preset quick for a first look)");
    Preset::Paper
}
