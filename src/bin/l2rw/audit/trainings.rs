//! Trainings one after the other, each of which is asked about some examples. Their checkpoints
//! are one series: a later one has what the trainings before it have told, not their networks.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use l2rw::data::Dataset;
use l2rw::gpu::Context;
use l2rw::nn::Network;
use l2rw::train::{
    Beliefs, Checkpoint, CheckpointSeries, Evaluation, HostState, StepReport, Trainer,
    TrainerOptions, WeightLedger,
};
use serde::{Deserialize, Serialize};

use super::Options;
use crate::common::{RunFolder, Stop};
use crate::data::Labelled;
use crate::training::{self, Steps};

/// One of the trainings.
pub struct Part {
    pub name: String,
    /// Whether without learned weights: trusted examples are trained on like others then.
    pub plainly: bool,
    pub steps: u64,
    /// Evaluations of the second half of it whose beliefs are averaged; the last is at its end.
    pub snapshots: u64,
    /// How much it has to say about those that it is asked about, and about those that it is judged
    /// by.
    pub shares: [f64; 2],
    /// Trusted examples that it learns from.
    pub clean: Vec<usize>,
    /// Those that it is judged by.
    pub judged_by: Vec<usize>,
    /// Audited examples that it learns from.
    pub audited: Vec<usize>,
    /// Those that it is asked about.
    pub asked: Vec<usize>,
}

/// What trainings that are done took.
#[derive(Clone, Copy, Default, Deserialize, Serialize)]
pub struct Counts {
    trainings: usize,
    pub steps: u64,
    /// Steps that were left out since a number was not finite.
    pub skipped_steps: u64,
    /// Of training and evaluation.
    pub seconds: f64,
    /// The same in forward passes of one example.
    pub passes: u64,
}

/// What trainings that are done have told.
#[derive(Clone)]
pub struct Totals {
    pub counts: Counts,
    /// Of the classes for each audited example, in the shares of these trainings.
    pub probabilities: Vec<Vec<f64>>,
    /// The same for each trusted example.
    pub trusted: Vec<Vec<f64>>,
}

impl Totals {
    fn new(of: &Labelled) -> Self {
        let none = vec![0.0; of.set.classes()];
        Self {
            counts: Counts::default(),
            probabilities: vec![none.clone(); of.set.len()],
            trusted: vec![none; of.clean.len()],
        }
    }

    fn store(&self, host: &mut HostState) {
        host.insert_f64("totals/probabilities", self.probabilities.concat());
        host.insert_f64("totals/trusted", self.trusted.concat());
    }

    fn restore(&mut self, counts: Counts, host: &HostState) -> Result<()> {
        self.counts = counts;
        for (rows, name) in [
            (&mut self.probabilities, "totals/probabilities"),
            (&mut self.trusted, "totals/trusted"),
        ] {
            let stored = host.f64s(name)?;
            let len: usize = rows.iter().map(Vec::len).sum();
            ensure!(stored.len() == len, "the checkpoint is of other data");
            let values = rows.iter_mut().flatten().zip(stored);
            values.for_each(|(value, stored)| *value = *stored);
        }
        Ok(())
    }

    fn add(&mut self, part: &Part, sums: &Sums, passes: u64) {
        let [of_asked, of_trusted] = part.shares;
        for (place, &index) in part.asked.iter().enumerate() {
            add(&mut self.probabilities[index], of_asked, &sums.beliefs.probabilities(place));
        }
        for (place, &index) in part.judged_by.iter().enumerate() {
            add(&mut self.trusted[index], of_trusted, &sums.trusted.probabilities(place));
        }
        self.counts.trainings += 1;
        self.counts.steps += part.steps;
        self.counts.skipped_steps += sums.skipped_steps;
        self.counts.seconds += sums.seconds;
        self.counts.passes += passes;
    }
}

fn add(sums: &mut [f64], share: f64, found: &[f64]) {
    sums.iter_mut().zip(found).for_each(|(sum, found)| *sum += share * found);
}

/// What is added up on the way of one training.
struct Sums {
    ledger: WeightLedger,
    beliefs: Beliefs,
    /// Of the trusted examples that it is judged by.
    trusted: Beliefs,
    skipped_steps: u64,
    seconds: f64,
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

    fn restored((skipped_steps, seconds): (u64, f64), host: &HostState) -> Result<Self> {
        Ok(Self {
            ledger: WeightLedger::stored(host, "ledger")?,
            beliefs: Beliefs::stored(host, "beliefs")?,
            trusted: Beliefs::stored(host, "trusted")?,
            skipped_steps,
            seconds,
        })
    }
}

/// What a checkpoint says in JSON: of the trainings before, and of its own.
type Told = (Counts, (u64, f64));

/// What is known at a step.
pub struct Account {
    before: Totals,
    sums: Sums,
    /// Those that it is asked about and those that it is judged by; `None` once all is done.
    evaluations: Option<(Evaluation, Option<Evaluation>)>,
    steps: u64,
    snapshots: u64,
}

impl Account {
    /// Of the training, for each example that it learned from.
    pub fn ledger(&self) -> &WeightLedger {
        &self.sums.ledger
    }
}

impl training::Account for Account {
    fn state(&self) -> Result<HostState> {
        let sums = &self.sums;
        let told: Told = (self.before.counts, (sums.skipped_steps, sums.seconds));
        let mut host = HostState::new(&told)?;
        self.before.store(&mut host);
        sums.ledger.store(&mut host, "ledger");
        sums.beliefs.store(&mut host, "beliefs");
        sums.trusted.store(&mut host, "trusted");
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
        let (steps, last) = (self.steps, self.snapshots - 1);
        let due = |snapshot: u64| step == steps - (last - snapshot) * (steps / 2 / self.snapshots);
        let Some((asked, judged_by)) = &mut self.evaluations else { return Ok(()) };
        if (0..=last).any(due) {
            self.sums.beliefs.record(&asked.scores()?.scores);
            if let Some(judged_by) = judged_by {
                self.sums.trusted.record(&judged_by.scores()?.scores);
            }
        }
        Ok(())
    }

    fn seconds(&mut self) -> &mut f64 {
        &mut self.sums.seconds
    }
}

/// The last of the trainings, with what all of them have told.
pub struct Done {
    pub trainer: Trainer,
    pub account: Account,
    pub totals: Totals,
}

/// What trainings have in common.
pub struct Trainings<'a> {
    pub options: &'a Options,
    pub audited: &'a Labelled,
    pub context: &'a Context,
    pub network: &'a Network,
    pub folder: &'a RunFolder,
    pub series: CheckpointSeries,
    pub stop: &'a Stop,
}

impl Trainings<'_> {
    /// Takes them one after the other, from the last checkpoint on; `None` once a stop is
    /// requested.
    pub fn take(&self, parts: &[Part]) -> Result<Option<Done>> {
        let mut begun = self.folder.newest(&self.series)?;
        let mut totals = Totals::new(self.audited);
        if let Some(checkpoint) = &begun {
            let (counts, _): Told = checkpoint.host().json()?;
            totals.restore(counts, checkpoint.host())?;
        }
        let mut last = None;
        for part in parts.iter().skip(totals.counts.trainings) {
            // One network is on the device at a time.
            drop(last.take());
            let taken = self.part(part, totals.clone(), begun.take())?;
            let Some((trainer, account, passes)) = taken else { return Ok(None) };
            totals.add(part, &account.sums, passes);
            last = Some((trainer, account));
        }
        Ok(last.map(|(trainer, account)| Done { trainer, account, totals }))
    }

    fn options_of(&self, part: &Part) -> TrainerOptions {
        let (training, set) = (&self.options.training, &self.audited.set);
        let mut options = match part.plainly {
            true => training.plain_trainer(set, part.steps),
            false => training.trainer(set, part.clean.len(), part.steps),
        };
        options.batch = options.batch.min(part.audited.len());
        options
    }

    fn part(
        &self,
        part: &Part,
        before: Totals,
        begun: Option<Checkpoint>,
    ) -> Result<Option<(Trainer, Account, u64)>> {
        let (set, clean) = (&self.audited.set, &self.audited.clean);
        let mut learned = examples_of(set, &part.audited)?;
        let asked = examples_of(set, &part.asked)?;
        let clean_part = examples_of(clean, &part.clean)?;
        if part.plainly {
            learned.to_mut().append(&clean_part)?;
        }
        let examples = ((&*learned).into(), (!part.plainly).then_some((&*clean_part).into()));
        let mut trainer_options = self.options_of(part);
        let fitted = (&mut trainer_options, self.stop.team());
        let mut trainer =
            self.options.training.fitting(self.context, self.network, examples, fitted)?;
        let mut sums = Sums::new(learned.len(), asked.len(), part.judged_by.len(), set.classes());
        if let Some(checkpoint) = begun {
            trainer.model_mut().resume(&checkpoint)?;
            let (_, own): Told = checkpoint.host().json()?;
            sums = Sums::restored(own, checkpoint.host())?;
            println!("{} goes on after step {}", part.name, trainer.steps());
        }
        let evaluation = |set: &Dataset| training::evaluation(trainer.model(), set.into());
        let judged_by = match part.judged_by.as_slice() {
            [] => None,
            indices => Some(evaluation(&*examples_of(clean, indices)?)?),
        };
        let evaluations = Some((evaluation(&asked)?, judged_by));
        // They have been copied to where they are computed with.
        drop((learned, asked, clean_part));
        let (steps, snapshots) = (part.steps, part.snapshots);
        let first = before.counts.steps;
        let mut account = Account { before, sums, evaluations, steps, snapshots };
        let run = Steps {
            name: &part.name,
            steps,
            first,
            every: self.options.continuation.every(steps),
            series: &self.series,
            stop: self.stop,
        };
        let done = run.take(&mut trainer, &mut account)?;
        account.evaluations = None;
        let passes = self.passes(&trainer_options, part);
        Ok(done.then_some((trainer, account, passes)))
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
        part.steps * step + part.snapshots * evaluated
    }
}

/// Some of the examples; without a copy, where they are all.
fn examples_of<'a>(set: &'a Dataset, indices: &[usize]) -> Result<Cow<'a, Dataset>> {
    match indices.len() == set.len() {
        true => Ok(Cow::Borrowed(set)),
        false => Ok(Cow::Owned(set.subset(indices)?)),
    }
}
