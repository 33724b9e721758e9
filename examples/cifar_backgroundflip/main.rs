//! BackgroundFlip (Ren et al., ICML 2018, table 2): many training images carry the label of one
//! background class. Plain training learns the noise; with a few trusted images L2RW does not.

mod experiment;
mod options;
mod output;
mod run;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use clap::Parser;
use l2rw::data::default_cache_dir;
use l2rw::files::OutDir;
use l2rw::gpu::Context;

use experiment::Experiment;
use options::{Options, Preset};
use run::run;

fn main() -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error,l2rw=warn"));
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or("the command line cannot be read");
            return fail(line.trim_start_matches("error: "));
        }
    };
    match compare(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{error:#}")),
    }
}

/// One line, whatever the causes say.
fn fail(message: &str) -> ExitCode {
    eprintln!("error: {}", message.replace('\n', " "));
    ExitCode::from(2)
}

fn compare(options: &Options) -> Result<()> {
    options.check()?;
    let cache = default_cache_dir()?;
    let context = Context::new(options.adapter.as_deref())?.tuned_by(&cache);
    let context = context.with_pipeline_cache(&cache)?;
    let preset = preset(options, &context);
    let experiment = Experiment::new(options, preset)?;
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
    if options.print_plan {
        for recipe in options.recipes() {
            print!("{}", experiment.trainer(&context, &recipe, None)?.plan());
        }
        return Ok(());
    }
    let _out = OutDir::claim(&options.out)?;
    let stop = stop_on_ctrl_c()?;
    let mut runs = Vec::new();
    let mut plain = None;
    for recipe in options.recipes() {
        let checkpoint = options.out.join(format!("{recipe}.safetensors"));
        if ["s-model-conf", "mentornet-dd"].contains(&recipe.method.as_str()) && plain.is_none() {
            println!("{recipe} starts from a plain run: training that first");
            let first = options.out.join("plain.safetensors");
            let baseline = "baseline".parse().map_err(anyhow::Error::msg)?;
            plain = run(&experiment, &context, &baseline, None, &first, &stop)?.plain;
        }
        let run = run(&experiment, &context, &recipe, plain.as_ref(), &checkpoint, &stop)?;
        context.keep_pipelines()?;
        plain = plain.or_else(|| run.plain.clone());
        runs.push(run);
        if stop.load(Ordering::Relaxed) {
            println!("stopped; writing what there is");
            break;
        }
    }
    output::write(&experiment, &context, &runs, &options.out)
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

/// The first Ctrl-C ends training after the current step, the second one ends the program.
fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nfinishing the step; press Ctrl-C again to leave at once");
    })
    .context("Ctrl-C cannot be caught")?;
    Ok(stop)
}
