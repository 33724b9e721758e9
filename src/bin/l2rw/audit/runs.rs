//! The trainings of an audit: one with all examples, and some that leave a part of them out, with
//! learned weights and without. What is left out is judged by both: plain training learns more
//! where few labels are wrong, and learned weights keep it from learning wrong ones.

use anyhow::Result;
use l2rw::data::Dataset;
use l2rw::gpu::Context;

use super::Options;
use super::trainings::{Done, Part, Trainings};
use crate::common::{RunFolder, Stop};
use crate::data::Labelled;
use crate::training::Account;

/// Name of the trained network's file, and of the checkpoints on the way there.
pub const MODEL: &str = "model";

/// Evaluations of each training whose beliefs are averaged.
const SNAPSHOTS: u64 = 5;

/// How much the network that has learned from an example has to say about it. On scikit-learn's
/// digits with a fifth of the labels wrong, this share ranked better than none, and than a half.
const OWN_SHARE: f64 = 0.3;

/// What the trainings tell.
pub struct Judged {
    /// The training with all examples, and what all trainings make of each one.
    pub done: Done,
    /// Whether trusted examples are judged by trainings without them, and audited ones mostly.
    pub held_out: bool,
    pub model: String,
}

/// As many parts of the trusted examples as are left out in turn: every part has one of each class
/// at least, or there are none.
fn folds(clean: &Dataset, asked: usize) -> usize {
    let count = |class: u32| clean.labels.iter().filter(|label| **label == class).count();
    let fewest = (0..clean.classes() as u32).map(count).min().unwrap_or_default();
    match asked.min(fewest) {
        1 => 0,
        folds => folds,
    }
}

fn parts(audited: &Dataset, clean: &Dataset, folds: usize, steps: u64) -> Vec<Part> {
    let all: Vec<usize> = (0..clean.len()).collect();
    let mut parts = Vec::new();
    let mut seen = vec![0; clean.classes()];
    let fold_of: Vec<usize> = clean
        .labels
        .iter()
        .map(|label| {
            seen[*label as usize] += 1;
            (seen[*label as usize] - 1) % folds.max(1)
        })
        .collect();
    let snapshots = SNAPSHOTS;
    for (fold, plainly) in (0..folds).flat_map(|fold| [(fold, false), (fold, true)]) {
        let (judged_by, clean) = all.iter().partition(|index| fold_of[**index] == fold);
        // Pictures lie sorted by class: folds are strided.
        let (asked, audited) = (0..audited.len()).partition(|index| index % folds == fold);
        let name = format!("heldout{}{}", if plainly { "-plainly" } else { "" }, fold + 1);
        let shares = [(1.0 - OWN_SHARE) / 2.0, 0.5];
        parts.push(Part {
            name,
            plainly,
            steps,
            snapshots,
            shares,
            clean,
            judged_by,
            audited,
            asked,
        });
    }
    // The network that is kept comes last.
    let every: Vec<usize> = (0..audited.len()).collect();
    parts.push(Part {
        name: MODEL.into(),
        plainly: false,
        steps,
        snapshots,
        shares: if folds == 0 { [1.0; 2] } else { [OWN_SHARE, 0.0] },
        clean: all.clone(),
        judged_by: all,
        audited: every.clone(),
        asked: every,
    });
    parts
}

/// Trains, from the last checkpoint on, and keeps account; `None` once a stop is requested.
pub fn judge(
    options: &Options,
    audited: &Labelled,
    context: &Context,
    folder: &RunFolder,
    stop: &Stop,
) -> Result<Option<Judged>> {
    let network = &options.training.network(&audited.set)?;
    let folds = folds(&audited.clean, options.held_out(&audited.set));
    let steps = options.training.audit_steps(&audited.set);
    if folds > 0 {
        let trainings = 2 * folds + 1;
        println!(
            "{trainings} trainings of {steps} steps: two without each of {folds} parts, with \
             learned weights and without, and one with all"
        );
    }
    let parts = parts(&audited.set, &audited.clean, folds, steps);
    let series = folder.series(MODEL);
    let trainings = Trainings { options, audited, context, network, folder, series, stop };
    let done = trainings.take(&parts)?;
    Ok(done.map(|done| Judged { done, held_out: folds > 0, model: network.name.clone() }))
}

impl Judged {
    /// Writes the trained network, from which a run can be taken up again as well.
    pub fn save(&self, folder: &RunFolder) -> Result<()> {
        let state = self.done.account.state()?;
        Ok(folder.series(MODEL).finish(self.done.trainer.model(), &state)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: Vec<u32>) -> Dataset {
        let classes = vec!["a".to_owned(), "b".to_owned()];
        Dataset::new("x", [1, 1, 1], classes, vec![0u8; labels.len()], labels).unwrap()
    }

    #[test]
    fn all_are_judged_in_shares_of_one_and_held_out_trainings_do_not_see_them() {
        let (audited, clean) = (set((0..11).map(|i| i % 2).collect()), set(vec![0, 0, 0, 1, 1, 1]));
        for (held_out, trainings) in [(0, 1), (1, 1), (2, 5), (3, 7), (9, 7)] {
            let (mut asked, mut trusted) = (vec![0.0; 11], vec![0.0; 6]);
            let parts = parts(&audited, &clean, folds(&clean, held_out), 9);
            for part in &parts {
                part.asked.iter().for_each(|&index| asked[index] += part.shares[0]);
                part.judged_by.iter().for_each(|&index| trusted[index] += part.shares[1]);
                let sees = |of: &[usize], seen: &[usize]| of.iter().any(|i| seen.contains(i));
                let own = part.name == MODEL;
                assert_eq!(sees(&part.asked, &part.audited), own, "{}", part.name);
                assert_eq!(sees(&part.judged_by, &part.clean), own, "{}", part.name);
            }
            let one = |share: &f64| (share - 1.0).abs() < 1e-12;
            assert!(asked.iter().chain(&trusted).all(one), "{asked:?} {trusted:?}");
            assert_eq!(parts.len(), trainings);
            assert!(!parts[parts.len() - 1].plainly, "what is kept has learned weights");
        }
    }
}
