//! The trainings of an audit: one with all trusted examples, and some that leave a part of them
//! out, which tell how far the network can be believed.

use anyhow::Result;
use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::nn::Network;
use l2rw::train::{
    Beliefs, Evaluation, HostState, StepReport, Trainer, TrainerOptions, WeightLedger,
};

use super::Options;
use crate::common::{RunFolder, Stop};
use crate::data::Labelled;
use crate::training::{self, Steps};

/// Name of the trained network's file, and of the checkpoints on the way there.
pub const MODEL: &str = "model";
/// Of the trainings that leave trusted examples out, with a number behind it.
pub const HELD_OUT: &str = "heldout";

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
    for fold in 0..folds {
        let (judged_by, clean) = all.iter().partition(|index| fold_of[**index] == fold);
        // Pictures lie sorted by class: folds are strided.
        let (asked, audited) = (0..audited.len()).partition(|index| index % folds == fold);
        let name = format!("{HELD_OUT}{}", fold + 1);
        parts.push(Part { name, clean, judged_by, audited, asked });
    }
    // The network that is kept comes last, so that there is one on the device at a time.
    let (clean, judged_by) = (all.clone(), all);
    let every: Vec<usize> = (0..audited.len()).collect();
    let (audited, asked) = (every.clone(), every);
    parts.push(Part { name: MODEL.into(), clean, judged_by, audited, asked });
    parts
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
    let mut trusted = vec![Vec::new(); audited.clean.len()];
    let mut last = None;
    let mut probabilities = vec![Vec::new(); audited.set.len()];
    let (mut seconds, mut passes, mut skipped_steps) = (0.0, 0, 0);
    if folds > 0 {
        let (trainings, steps) = (folds + 1, options.training.steps(&audited.set));
        println!("{trainings} trainings of {steps} steps: {folds} without a part, one with all");
    }
    for part in parts(&audited.set, &audited.clean, folds) {
        let run = Run { options, audited, context, network: &network, folder, stop };
        let Some(done) = run.part(&part)? else { return Ok(None) };
        let (trainer, account) = done;
        for (place, &index) in part.asked.iter().enumerate() {
            mix(&mut probabilities[index], account.sums.beliefs.probabilities(place));
        }
        seconds += account.sums.seconds;
        skipped_steps += account.sums.skipped_steps;
        passes += run.passes(&trainer_options(&run, &part), &part);
        for (place, &index) in part.judged_by.iter().enumerate() {
            if trusted[index].is_empty() {
                trusted[index] = account.sums.trusted.probabilities(place);
            }
        }
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

/// Adds what the network that has learned from an example believes to what the one before, which
/// has not, does.
fn mix(before: &mut Vec<f64>, found: Vec<f64>) {
    if before.is_empty() {
        *before = found;
        return;
    }
    let pairs = before.iter_mut().zip(found);
    pairs.for_each(|(held_out, own)| *held_out += OWN_SHARE * (own - *held_out));
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
    let options = training.trainer(set, part.clean.len(), training.steps(set));
    TrainerOptions { batch: options.batch.min(part.audited.len()), ..options }
}

impl Run<'_> {
    fn part(&self, part: &Part) -> Result<Option<(Trainer, Account)>> {
        let (options, audited) = (self.options, self.audited);
        let steps = options.training.steps(&audited.set);
        let set = audited.set.subset(&part.audited)?;
        let asked = audited.set.subset(&part.asked)?;
        let clean = audited.clean.subset(&part.clean)?;
        let judged_by = audited.clean.subset(&part.judged_by)?;
        let mut trainer_options = trainer_options(self, part);
        let examples = ((&set).into(), Some((&clean).into()));
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
        // Either route needs 3m for G and 3n for the step; finding u takes 2n or n more.
        let route = if self.network.mixes_examples() { 5 } else { 4 };
        let evaluated = (part.asked.len() + part.judged_by.len()) as u64;
        let steps = self.options.training.steps(&self.audited.set);
        steps * (route * n + 3 * m) + SNAPSHOTS * evaluated
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
    for fold in 1..=folds(clean, asked) {
        folder.series(&format!("{HELD_OUT}{fold}")).delete()?;
    }
    Ok(())
}
