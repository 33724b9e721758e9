//! Out-of-sample predictions by cross-validation: what tools of confident learning work from.

use anyhow::Result;
use l2rw::data::Dataset;
use l2rw::gpu::Context;

use super::Options;
use super::output::write_predictions;
use super::trainings::{Part, Trainings};
use crate::common::{RunFolder, Stop};
use crate::data::Labelled;

/// Name of the checkpoints.
pub const FOLDS: &str = "folds";

/// Trains the network plainly on all but each fold in turn, for an equal share of the passes, and
/// writes what it makes of the fold left out. Whether all folds are done: a requested stop ends the
/// run after the current step.
pub fn predict(
    options: &Options,
    audited: &Labelled,
    context: &Context,
    folds: usize,
    (folder, stop): (&RunFolder, &Stop),
) -> Result<bool> {
    let network = &options.training.network(&audited.set)?;
    let passes = options.passes.unwrap_or_default() / folds as f64;
    let batch = options.training.batch(&audited.set);
    let parts: Vec<Part> = (0..folds)
        .map(|fold| part(&audited.set, &audited.clean, (fold, folds), (passes, batch)))
        .collect();
    let series = folder.series(FOLDS);
    let trainings = Trainings { options, audited, context, network, folder, series, stop };
    let Some(done) = trainings.take(&parts)? else { return Ok(false) };
    let counts = done.totals.counts;
    println!("{} steps of plain training in all, {:.1} s", counts.steps, counts.seconds);
    let (path, wrong) = (options.out.join("predictions.csv"), audited.wrong.as_deref());
    let named = (&audited.set, audited.names.as_slice());
    write_predictions(&path, named, wrong, &done.totals.probabilities)?;
    Ok(true)
}

/// A fold, with its share of the passes. Examples lie sorted by class in image folders: folds are
/// strided. The trusted examples are trained on as well: they are labels that the other tool may
/// use too.
fn part(
    set: &Dataset,
    clean: &Dataset,
    (fold, folds): (usize, usize),
    (passes, batch): (f64, usize),
) -> Part {
    let (asked, audited): (Vec<usize>, Vec<usize>) =
        (0..set.len()).partition(|index| index % folds == fold);
    // Three passes an example: forward, and twice as much backward.
    let steps = ((passes - asked.len() as f64) / (3 * batch) as f64).ceil().max(1.0) as u64;
    Part {
        name: format!("fold{}", fold + 1),
        plainly: true,
        steps,
        snapshots: 1,
        shares: [1.0, 0.0],
        clean: (0..clean.len()).collect(),
        judged_by: Vec::new(),
        audited,
        asked,
    }
}
