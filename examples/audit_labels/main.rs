//! Which labels of a data set are wrong? Trains with weights learned from a few trusted examples
//! and writes a ranking of all the others, a picture of the first, and an estimate for each class.

mod audit;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod folds;
mod options;
mod output;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use l2rw::gpu::Context;

use common::{Devices, RunFolder, Stop, fail};
use data::Audited;
use options::Options;

fn main() -> ExitCode {
    sigpipe::reset();
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error,l2rw=warn"));
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => Stop::exit_code(),
        Err(error) => fail(&error),
    }
}

/// Whether everything is done.
fn run(options: &Options) -> Result<bool> {
    options.check()?;
    let audited = Audited::open(options)?;
    let adapter = options.adapter.clone();
    let devices = Devices::new(move || Ok(Context::new(adapter.as_deref())?))?;
    println!("adapter: {}", devices.context().describe());
    println!(
        "{}: {} examples of {} classes, {} trusted",
        audited.set.name,
        audited.set.len(),
        audited.set.classes(),
        audited.clean.len()
    );
    let part = if options.out_of_sample.is_some() { "predictions" } else { "audit" };
    let run = ("audit_labels", vec![part.to_owned()], options.config(&audited));
    let (mut folder, _) = RunFolder::open(&options.out, &options.continuation, run, owns)?;
    let stop = Stop::on_signals()?;
    if let Some(count) = options.out_of_sample {
        let done = devices
            .with(|context| folds::predict(options, &audited, context, count, (&folder, &stop)))?;
        if done {
            folder.finished()?;
        }
        return Ok(done);
    }
    let judged =
        devices.with(|context| audit::judge(options, &audited, context, &folder, &stop))?;
    let Some(judged) = judged else { return Ok(false) };
    // The largest files come last: a full disk costs the network or the picture only.
    let report = output::write(options, &audited, &judged)?;
    judged.save(&folder)?;
    report.draw(options, &audited)?;
    report.print(options);
    folder.finished()?;
    Ok(true)
}

/// Whether a file of the output folder is one of this program's, by its name.
fn owns(name: &str) -> bool {
    let series = name.strip_suffix(".safetensors").and_then(|name| name.split('.').next());
    let is_checkpoint = series.is_some_and(|series| [audit::MODEL, folds::FOLDS].contains(&series));
    is_checkpoint || output::FILES.contains(&name)
}
