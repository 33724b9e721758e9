//! `l2rw audit`: which labels of a data set are wrong? Trains with weights learned from a few
//! trusted examples and writes a ranking of all the others, a page to look through them, and an
//! estimate for each class.

mod decisions;
mod folds;
mod judgement;
mod options;
mod output;
mod page;
mod runs;
mod trainings;

pub use decisions::{Decision, read as read_decisions};
pub use options::Options;

use anyhow::Result;

use crate::common::{RunFolder, Stop, Team, open_adapter};
use output::Report;

/// Whether everything is done.
pub fn run(options: &Options) -> Result<bool> {
    options.check()?;
    let team = &Team::default();
    let devices = open_adapter(options.adapter.clone(), team)?;
    println!("adapter: {}", devices.context().describe());
    let audited = options.open(&devices.context())?;
    audited.say();
    if let Some(augmentation) = options.training.augmentation(&audited.set) {
        println!("{augmentation}");
    }
    let part = if options.out_of_sample.is_some() { "predictions" } else { "audit" };
    let config = options.config(&audited);
    let id = config["fingerprints"].to_string();
    let run = ("audit", vec![part.to_owned()], config);
    let (mut folder, _) = RunFolder::open(&options.out, &options.continuation, run, owns, team)?;
    let stop = Stop::on_signals(team)?;
    if let Some(count) = options.out_of_sample {
        let done = devices
            .with(|context| folds::predict(options, &audited, context, count, (&folder, &stop)))?;
        if done {
            folder.finished()?;
        }
        return Ok(done);
    }
    let judged = devices.with(|context| runs::judge(options, &audited, context, &folder, &stop))?;
    let Some(judged) = judged else { return Ok(false) };
    // The largest files come last: a full disk costs the network or the picture only.
    let report = Report::new(options, &audited, &judged, id);
    report.write(options, &audited)?;
    judged.save(&folder)?;
    report.draw(options, &audited)?;
    report.print(options);
    folder.finished()?;
    Ok(true)
}

/// Whether a file of the output folder is one of this program's, by its name.
fn owns(name: &str) -> bool {
    let series = name.strip_suffix(".safetensors").and_then(|name| name.split('.').next());
    let is_checkpoint = series.is_some_and(|series| [runs::MODEL, folds::FOLDS].contains(&series));
    is_checkpoint || output::FILES.contains(&name)
}
