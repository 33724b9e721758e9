//! The trainings of an audit: one with all examples, and some that leave a part of them out, with
//! learned weights and without. What is left out is judged by both: plain training learns more
//! where few labels are wrong, and learned weights keep it from learning wrong ones.

use anyhow::Result;
use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::nn::Network;
use l2rw::train::{
    Beliefs, Evaluation, HostState, StepReport, Trainer, TrainerOptions, WeightLedger,
};
use l2rw::weighting::Uniform;

use super::Options;
use crate::common::{RunFolder, Stop};
use crate::data::Labelled;
use crate::training::{self, Steps};

/// Name of the trained network's file, and of the checkpoints on the way there.
pub const MODEL: &str = "model";
/// Of the trainings that leave a part out, with its number behind it.
pub const HELD_OUT: &str = "heldout";
/// Of those among them without learned weights.
const HELD_OUT_PLAINLY: &str = "heldout-plainly";

/// Evaluations of the second half of a run whose beliefs are averaged.
const SNAPSHOTS: u64 = 5;

/// What the trainings tell.
pub struct Judged {
    pub ledger: WeightLedger,
    /// Probabilities of the classes for each audited example, mostly by a training without it.
    pub probabilities: Vec<Vec<f64>>,
    /// Probabilities of the classes for each trusted example.
    pub trusted: Vec<Vec<f64>>,
    /// Whether these come from trainings without the example.
    pub held_out: bool,
    pub model: String,
    /// Of training and evaluation.
    pub seconds: f64,
    /// The same in forward passes of one example.
    pub passes: u64,
    /// Steps that were left out since a number was not finite.
    pub skipped_steps: u64,
    trainer: Trainer,
    account: Account,
}

/// What is added up on the way of one training.
#[derive(Clone)]
struct Sums {
    ledger: WeightLedger,
    beliefs: Beliefs,
    /// Of the trusted examples that are left out, or of all where none is.
    trusted: Beliefs,
    skipped_steps: u64,
    seconds: f64,
}

/// The same with what it is made from.
struct Account {
    sums: Sums,
    /// The audited and the trusted examples; `None` once all is done.
    evaluations: Option<[Evaluation; 2]>,
    steps: u64,
}

impl training::Account for Account {
    fn state(&self) -> Result<HostState> {
        let mut host = HostState::new(&(self.sums.skipped_steps, self.sums.seconds))?;
        self.sums.ledger.store(&mut host, "ledger");
        self.sums.beliefs.store(&mut host, "beliefs");
        self.sums.trusted.store(&mut host, "trusted");
        Ok(host)
    }

    fn report(&mut self, report: &StepReport) -> Result<()> {
        if report.is_skipped() {
            self.sums.skipped_steps += 1;
            return Ok(());
        }
        Ok(self.sums.ledger.record(&report.indices, &report.weights)?)
    }

    fn after(&mut self, step: u64) -> Result<()> {
        let steps = self.steps;
        let due =
            |snapshot: u64| step == steps - (SNAPSHOTS - 1 - snapshot) * (steps / 2 / SNAPSHOTS);
        let Some([audited, trusted]) = &mut self.evaluations else { return Ok(()) };
        if (0..SNAPSHOTS).any(due) {
            self.sums.beliefs.record(&audited.scores()?.scores);
            self.sums.trusted.record(&trusted.scores()?.scores);
        }
        Ok(())
    }

    fn seconds(&mut self) -> &mut f64 {
        &mut self.sums.seconds
    }
}

impl Sums {
    fn new(learned: usize, asked: usize, trusted: usize, classes: usize) -> Self {
        Self {
            ledger: WeightLedger::new(learned),
            beliefs: Beliefs::new(asked, classes),
            trusted: Beliefs::new(trusted, classes),
            skipped_steps: 0,
            seconds: 0.0,
        }
    }

    fn restored(host: &HostState) -> Result<Self> {
        let (skipped_steps, seconds) = host.json()?;
        Ok(Self {
            ledger: WeightLedger::stored(host, "ledger")?,
            beliefs: Beliefs::stored(host, "beliefs")?,
            trusted: Beliefs::stored(host, "trusted")?,
            skipped_steps,
            seconds,
        })
    }
}

/// One of the trainings.
struct Part {
    name: String,
    /// Whether without learned weights: trusted examples are trained on like others then.
    plainly: bool,
    /// How much it has to say about those that it is asked about, and about those that it is judged
    /// by.
    shares: [f64; 2],
    /// Trusted examples that it learns from.
    clean: Vec<usize>,
    /// Those that it is judged by.
    judged_by: Vec<usize>,
    /// Audited examples that it learns from.
    audited: Vec<usize>,
    /// Those that it is asked about.
    asked: Vec<usize>,
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

fn parts(audited: &Dataset, clean: &Dataset, folds: usize) -> Vec<Part> {
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
    for (fold, plainly) in (0..folds).flat_map(|fold| [(fold, false), (fold, true)]) {
        let (judged_by, clean) = all.iter().partition(|index| fold_of[**index] == fold);
        // Pictures lie sorted by class: folds are strided.
        let (asked, audited) = (0..audited.len()).partition(|index| index % folds == fold);
        let name = held_out_name(fold, plainly);
        let shares = [(1.0 - OWN_SHARE) / 2.0, 0.5];
        parts.push(Part { name, plainly, shares, clean, judged_by, audited, asked });
    }
    // The network that is kept comes last, so that there is one on the device at a time.
    let (clean, judged_by) = (all.clone(), all);
    let every: Vec<usize> = (0..audited.len()).collect();
    let (audited, asked) = (every.clone(), every);
    let shares = if folds == 0 { [1.0; 2] } else { [OWN_SHARE, 0.0] };
    parts.push(Part {
        name: MODEL.into(),
        plainly: false,
        shares,
        clean,
        judged_by,
        audited,
        asked,
    });
    parts
}

fn held_out_name(fold: usize, plainly: bool) -> String {
    let prefix = if plainly { HELD_OUT_PLAINLY } else { HELD_OUT };
    format!("{prefix}{}", fold + 1)
}

/// Trains, from the last checkpoints on, and keeps account; `None` once a stop is requested.
pub fn judge(
    options: &Options,
    audited: &Labelled,
    context: &Context,
    folder: &RunFolder,
    stop: &Stop,
) -> Result<Option<Judged>> {
    let network = options.training.network(&audited.set)?;
    let folds = folds(&audited.clean, options.held_out(&audited.set));
    let none = vec![0.0; audited.set.classes()];
    let mut trusted = vec![none.clone(); audited.clean.len()];
    let mut probabilities = vec![none; audited.set.len()];
    let mut last = None;
    let (mut seconds, mut passes, mut skipped_steps) = (0.0, 0, 0);
    if folds > 0 {
        let (trainings, steps) = (2 * folds + 1, options.training.steps(&audited.set));
        println!(
            "{trainings} trainings of {steps} steps: two without each of {folds} parts, with \
             learned weights and without, and one with all"
        );
    }
    for part in parts(&audited.set, &audited.clean, folds) {
        let run = Run { options, audited, context, network: &network, folder, stop };
        let Some(done) = run.part(&part)? else { return Ok(None) };
        let (trainer, account) = done;
        let [of_asked, of_trusted] = part.shares;
        for (place, &index) in part.asked.iter().enumerate() {
            let found = account.sums.beliefs.probabilities(place);
            add(&mut probabilities[index], of_asked, &found);
        }
        for (place, &index) in part.judged_by.iter().enumerate() {
            let found = account.sums.trusted.probabilities(place);
            add(&mut trusted[index], of_trusted, &found);
        }
        seconds += account.sums.seconds;
        skipped_steps += account.sums.skipped_steps;
        passes += run.passes(&trainer_options(&run, &part), &part);
        last = (part.name == MODEL).then_some((trainer, account));
    }
    let Some((trainer, account)) = last else { return Ok(None) };
    Ok(Some(Judged {
        ledger: account.sums.ledger.clone(),
        probabilities,
        trusted,
        held_out: folds > 0,
        model: network.name,
        seconds,
        passes,
        skipped_steps,
        trainer,
        account,
    }))
}

/// How much the network that has learned from an example has to say about it. On scikit-learn's
/// digits with a fifth of the labels wrong, this share ranked better than none, and than a half.
const OWN_SHARE: f64 = 0.3;

fn add(sums: &mut [f64], share: f64, found: &[f64]) {
    sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += share * found);
}

struct Run<'a> {
    options: &'a Options,
    audited: &'a Labelled,
    context: &'a Context,
    network: &'a Network,
    folder: &'a RunFolder,
    stop: &'a Stop,
}

fn trainer_options(run: &Run<'_>, part: &Part) -> TrainerOptions {
    let (training, set) = (&run.options.training, &run.audited.set);
    let mut options = training.trainer(set, part.clean.len(), training.steps(set));
    options.batch = options.batch.min(part.audited.len());
    if part.plainly {
        options.weighting = training.adjusted(Uniform.into());
    }
    options
}

impl Run<'_> {
    fn part(&self, part: &Part) -> Result<Option<(Trainer, Account)>> {
        let (options, audited) = (self.options, self.audited);
        let steps = options.training.steps(&audited.set);
        let mut set = audited.set.subset(&part.audited)?;
        let asked = audited.set.subset(&part.asked)?;
        let clean = audited.clean.subset(&part.clean)?;
        let judged_by = audited.clean.subset(&part.judged_by)?;
        let mut trainer_options = trainer_options(self, part);
        if part.plainly {
            set.append(&clean)?;
        }
        let examples = ((&set).into(), (!part.plainly).then_some((&clean).into()));
        let fitted = (&mut trainer_options, self.stop.team());
        let mut trainer = options.training.fitting(self.context, self.network, examples, fitted)?;
        let series = self.folder.series(&part.name);
        let mut sums = Sums::new(set.len(), asked.len(), judged_by.len(), audited.set.classes());
        if let Some(checkpoint) = self.folder.newest(&series)? {
            trainer.model_mut().resume(&checkpoint)?;
            sums = Sums::restored(checkpoint.host())?;
            println!("{} goes on after step {}", part.name, trainer.steps());
        }
        let evaluations = [
            training::evaluation(trainer.model(), (&asked).into())?,
            training::evaluation(trainer.model(), (&judged_by).into())?,
        ];
        let mut account = Account { sums, evaluations: Some(evaluations), steps };
        let run = Steps {
            name: &part.name,
            steps,
            first: 0,
            every: options.continuation.every(steps),
            series: &series,
            stop: self.stop,
        };
        let done = run.take(&mut trainer, &mut account)?;
        account.evaluations = None;
        Ok(done.then_some((trainer, account)))
    }

    /// What a part computes, in forward passes of one example.
    fn passes(&self, options: &TrainerOptions, part: &Part) -> u64 {
        let (n, m) = (options.batch as u64, options.clean_batch as u64);
        // A step needs 3n; either route 3m for G, and finding u takes 2n or n.
        let step = match (part.plainly, self.network.mixes_examples()) {
            (true, _) => 3 * n,
            (false, true) => 5 * n + 3 * m,
            (false, false) => 4 * n + 3 * m,
        };
        let evaluated = (part.asked.len() + part.judged_by.len()) as u64;
        let steps = self.options.training.steps(&self.audited.set);
        steps * step + SNAPSHOTS * evaluated
    }
}

impl Judged {
    /// Writes the trained network, from which a run can be taken up again as well.
    pub fn save(&self, folder: &RunFolder) -> Result<()> {
        let state = training::Account::state(&self.account)?;
        Ok(folder.series(MODEL).finish(self.trainer.model(), &state)?)
    }
}

/// Deletes the checkpoints of the trainings that left examples out: they have told what they had
/// to.
pub fn forget_held_out(folder: &RunFolder, clean: &Dataset, asked: usize) -> Result<()> {
    for fold in 0..folds(clean, asked) {
        folder.series(&held_out_name(fold, false)).delete()?;
        folder.series(&held_out_name(fold, true)).delete()?;
    }
    Ok(())
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
            let parts = parts(&audited, &clean, folds(&clean, held_out));
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
