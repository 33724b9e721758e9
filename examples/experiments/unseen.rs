//! Weights of images that the network has never seen (Ren et al., ICML 2018, Figure 3).

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use l2rw::data::{self, Corruption, Dataset};
use l2rw::gpu::Context;
use l2rw::report::plots;
use l2rw::train::{Recipe, Snapshot};

use super::common::Stop;
use super::experiment::Experiment;

/// Of images of all classes, and of one class.
pub const PICTURES: [&str; 2] = ["unseen_all.png", "unseen_class.png"];

/// Labels of unseen images are changed by other random numbers than those of the training.
const UNSEEN: u64 = 1 << 41;

/// Draws the weights that a trained network gives to the held-out images, or the test images where
/// none are held out: batches of all classes with the training's noise on the left of the figure,
/// batches of a single class with the same share of background labels on the right.
pub fn weigh(
    experiment: &Experiment,
    context: &Context,
    recipe: &Recipe,
    (folder, stop): (&Path, &Stop),
) -> Result<()> {
    let data = &experiment.data;
    let unseen = data.held_out.as_ref().unwrap_or(&data.test);
    let background = data.background.context("there is no background class")?;
    let class = u32::from(background == 0);
    let of_class: Vec<usize> = (0..unseen.len()).filter(|i| unseen.labels[*i] == class).collect();
    let name = &unseen.class_names[class as usize];
    let Some(mut trainer) = experiment.trainer(context, recipe, None, stop)? else {
        return Ok(());
    };
    trainer.load(&folder.join(format!("{recipe}.safetensors")))?;
    let trained = trainer.snapshot()?;
    for (picture, title, set) in [
        (PICTURES[0], "images never seen, of all classes".to_owned(), unseen.clone()),
        (PICTURES[1], format!("images never seen, of class {name}"), unseen.subset(&of_class)?),
    ] {
        let Some([right, wrong]) =
            weights(experiment, context, recipe, (set, background), (&trained, stop))?
        else {
            return Ok(());
        };
        let zero = |weights: &[f32]| {
            let count = weights.iter().filter(|weight| **weight == 0.0).count();
            100.0 * count as f64 / weights.len().max(1) as f64
        };
        println!(
            "{title}: weight 0 for {:.1} % of the wrong labels and {:.1} % of the right ones",
            zero(&wrong),
            zero(&right)
        );
        let groups = [("clean", right.as_slice()), ("flipped", wrong.as_slice())];
        stop.team().on_first(|| Ok(plots::weights(&folder.join(picture), &title, groups)?))?;
    }
    Ok(())
}

/// Weights of the images with right and with wrong labels, 1 being the uniform one; `None` once
/// `stop` is requested.
fn weights(
    experiment: &Experiment,
    context: &Context,
    recipe: &Recipe,
    (mut set, background): (Dataset, u32),
    (trained, stop): (&Snapshot, &Stop),
) -> Result<Option<[Vec<f32>; 2]>> {
    let flip = Corruption::BackgroundFlip { share: experiment.config.spoiling.value(), background };
    let seed = u64::from(experiment.config.seed) + UNSEEN;
    let classes = set.classes();
    let corrupted = data::apply(&mut set.labels, classes, &flip, seed)?;
    let Some(mut weigher) = experiment.weigher(context, recipe, (&set, stop))? else {
        return Ok(None);
    };
    weigher.restore(trained)?;
    ensure!(!set.is_empty(), "no image is left to be weighed");
    let batch = weigher.options().batch;
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..set.len().div_ceil(batch) {
        if stop.requested() {
            return Ok(None);
        }
        weigher.step()?;
        while let Some(report) = weigher.take_report(true)? {
            for (index, weight) in report.indices.iter().zip(&report.weights) {
                let wrong = corrupted[*index as usize];
                all[usize::from(wrong)].push(weight * batch as f32);
            }
        }
    }
    Ok(Some(all))
}
