//! Out-of-sample predictions by cross-validation: what tools of confident learning work from.

use std::time::Instant;

use anyhow::Result;
use l2rw::gpu::Context;
use l2rw::train::{Beliefs, Trainer};

use crate::audit::{network, plain, trainer_options};
use crate::data::Audited;
use crate::options::Options;
use crate::output::write_predictions;

/// Trains the network plainly on all but each fold in turn, for an equal share of the passes, and
/// writes what it makes of the fold left out.
///
/// The trusted examples are trained on as well: they are labels that the other tool may use too.
pub fn predict(
    options: &Options,
    audited: &Audited,
    context: &Context,
    folds: usize,
) -> Result<()> {
    let set = &audited.set;
    let network = network(options, set)?;
    let share = options.passes.unwrap_or_default() / folds as f64;
    let mut probabilities = vec![Vec::new(); set.len()];
    let mut total_steps = 0;
    let started = Instant::now();
    for fold in 0..folds {
        // Examples lie sorted by class in image folders: folds are strided.
        let (inside, outside): (Vec<usize>, Vec<usize>) =
            (0..set.len()).partition(|index| index % folds != fold);
        let mut train = set.subset(&inside)?;
        train.images.extend_from_slice(&audited.clean.images);
        train.labels.extend_from_slice(&audited.clean.labels);
        let test = set.subset(&outside)?;
        // Three passes an example: forward, and twice as much backward.
        let batch = trainer_options(options, audited, 1).batch;
        let left = share - test.len() as f64;
        let steps = (left / (3 * batch) as f64).ceil().max(1.0) as u64;
        let trainer_options = plain(trainer_options(options, audited, steps));
        let mut trainer = Trainer::new(context, &network, (&train).into(), None, &trainer_options)?;
        for _ in 0..steps {
            trainer.step()?;
        }
        total_steps += steps;
        let scores = trainer.evaluation((&test).into(), 200)?.scores()?;
        let mut beliefs = Beliefs::new(test.len(), set.classes());
        beliefs.record(&scores.scores);
        for (place, &index) in outside.iter().enumerate() {
            probabilities[index] = beliefs.probabilities(place);
        }
        println!("fold {} of {folds}: {steps} steps", fold + 1);
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{total_steps} steps of plain training in all, {seconds:.1} s");
    write_predictions(options, audited, &probabilities)
}
