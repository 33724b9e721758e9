//! The published experiments over one harness: data that is spoiled in a known way, methods that
//! train on it run after run, and tables and pictures beside what the papers have.

mod cells;
#[path = "../common/mod.rs"]
mod common;
mod experiment;
mod options;
mod output;
mod preset;
mod run;
mod running;
mod spoiled;
mod study;
mod summary;
mod sweep;
mod unseen;

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use l2rw::gpu;

use cells::Cells;
use common::{Stop, Team, fail, open_adapter};
use options::Options;
use preset::Preset;
use study::Study;

/// The whole of an example: the experiment of that name, as the command line wants it.
pub fn main(name: &str) -> ExitCode {
    sigpipe::reset();
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error,l2rw=warn"));
    let study = match Study::named(name) {
        Some(study) => study,
        None => return fail(&anyhow!("there is no experiment '{name}'")),
    };
    let (options, team) = match asked(&study).and_then(|options| Ok((options, Team::join()?))) {
        Ok(both) => both,
        Err(error) => return fail(&error),
    };
    match run(&study, &options, &team) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => Stop::exit_code(&team),
        Err(error) => team.fail(&error),
    }
}

/// What the command line asks for.
fn asked(study: &Study) -> Result<Options> {
    let options = match Options::parse(study) {
        Ok(options) => options,
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or("the command line cannot be read");
            return Err(anyhow!("{}", line.trim_start_matches("error: ").to_owned()));
        }
    };
    options.check(study)?;
    Ok(options)
}

/// Whether everything is done.
fn run(study: &Study, options: &Options, team: &Team) -> Result<bool> {
    let devices = open_adapter(options.adapter.clone(), team)?;
    let preset = choose_preset(options, &devices.context());
    println!("l2rw {}", output::version());
    let stop = Stop::on_signals(team)?;
    Cells::new(study, options, preset, &devices, &stop)?.run()
}

fn choose_preset(options: &Options, context: &gpu::Context) -> Preset {
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
