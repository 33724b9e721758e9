//! Which labels of a data set are wrong? Trains with weights learned from a few trusted examples
//! and writes a ranking of all the others, a picture of the first, and an estimate for each class.

mod audit;
mod data;
mod folds;
mod options;
mod output;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use l2rw::files::OutDir;
use l2rw::gpu::Context;

use data::Audited;
use options::Options;

fn main() -> ExitCode {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error,l2rw=warn"));
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", format!("{error:#}").replace('\n', " "));
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<()> {
    options.check()?;
    let audited = Audited::open(options)?;
    let context = Context::new(options.adapter.as_deref())?;
    let _out = OutDir::claim(&options.out)?;
    println!("adapter: {}", context.describe());
    println!(
        "{}: {} examples of {} classes, {} trusted",
        audited.set.name,
        audited.set.len(),
        audited.set.classes(),
        audited.clean.len()
    );
    if let Some(count) = options.out_of_sample {
        return folds::predict(options, &audited, &context, count);
    }
    let judged = audit::judge(options, &audited, &context)?;
    output::write(options, &audited, &judged)
}
