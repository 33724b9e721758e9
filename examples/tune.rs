//! Measures on this machine's adapter which way to write kernels is fastest, and keeps the result
//! where the other examples look for it.
//!
//! ```sh
//! cargo run --release --example tune -- \
//!     [--adapter NAME] [--model NAME] [--seconds S] [--out DIR]
//! ```

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use l2rw::data::default_cache_dir;
use l2rw::gpu::{Context, Staging, Tuning};
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::train::{Examples, Trainer, TrainerOptions};
use l2rw::weighting::L2rw;

#[derive(Parser)]
struct Options {
    /// Part of the adapter's name.
    #[arg(long)]
    adapter: Option<String>,
    /// Network whose L2RW step is timed: a name of the model zoo, for 32x32 images.
    #[arg(long, default_value = "resnet8")]
    model: String,
    /// No candidate is begun after so many seconds. On a slow adapter steps of fewer examples are
    /// timed, so that every candidate has its turn.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Folder for the result; by default the user's cache, where the other examples look.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What a change must gain to be kept.
const GAIN: f64 = 0.02;
/// Pairs of steps, one either way, by which a candidate is sifted, and by which it is accepted.
const SIFTED_BY: usize = 3;
const ACCEPTED_BY: usize = 7;
/// Candidates that are expected to be left after sifting.
const LEFT: usize = 4;
/// Share of the time in which candidates are sifted.
const SIFTING: f64 = 0.8;
/// Examples of a step: as many as leave time for all candidates.
const BATCHES: [usize; 4] = [100, 50, 25, 12];

/// A way to make a choice otherwise.
type Change = (&'static str, fn(&mut Tuning));

/// The choices, each with the ways to make it otherwise, of which one at most is kept.
const CHOICES: [&[Change]; 13] = [
    &[("dual convolutions the other way", |t| t.composed_dual = !t.composed_dual)],
    &[("weights through the other kind of binding", |t| t.uniform_weights = !t.uniform_weights)],
    &[("loads of the other width", |t| t.wide_loads = !t.wide_loads)],
    &[("loads shared by subgroups the other way", |t| t.shared_loads = !t.shared_loads)],
    &[("one or two blocks of channels the other way", |t| t.two_blocks = !t.two_blocks)],
    &[("sizes of convolutions the other way", |t| t.bound_sizes = !t.bound_sizes)],
    &[
        ("staging from half the channels on", |t| {
            staging(t, |s| s.channels = (s.channels / 2).max(4))
        }),
        ("staging from double the channels on", |t| staging(t, |s| s.channels *= 2)),
    ],
    &[
        ("staging from half the sizes of products on", |t| {
            staging(t, |s| s.product = (s.product / 2).max(4))
        }),
        ("staging from double the sizes of products on", |t| staging(t, |s| s.product *= 2)),
    ],
    &[("staged tiles of the other width", |t| staging(t, |s| s.wide_tiles = !s.wide_tiles))],
    &[
        ("a quarter of the staged workgroups", |t| {
            staging(t, |s| s.workgroups = (s.workgroups / 4).max(16))
        }),
        ("four times the staged workgroups", |t| staging(t, |s| s.workgroups *= 4)),
    ],
    &[("parts combined the other way", |t| t.trees = !t.trees)],
    &[
        ("long sums split four times less", |t| {
            t.split_invocations = (t.split_invocations / 4).max(64)
        }),
        ("long sums split four times more", |t| t.split_invocations *= 4),
        ("long sums split sixteen times more", |t| t.split_invocations *= 16),
    ],
    &[
        ("chunks of half the size", |t| t.chunk = (t.chunk / 2).max(8)),
        ("chunks of double the size", |t| t.chunk *= 2),
        ("chunks of four times the size", |t| t.chunk *= 4),
    ],
];

fn staging(tuning: &mut Tuning, change: fn(&mut Staging)) {
    tuning.staging.iter_mut().for_each(change);
}

fn main() -> Result<()> {
    sigpipe::reset();
    let options = Options::parse();
    let context = Context::new(options.adapter.as_deref())?;
    println!("adapter: {}", context.describe());
    let best = Tuner::new(&context, &options)?.tune()?;
    let folder = options.out.map_or_else(default_cache_dir, Ok)?;
    let path = best.keep(&folder, &context)?;
    println!("{best:#?}\nwrote {}", path.display());
    Ok(())
}

/// A change of the tuning that the adapter can run.
#[derive(Clone, Copy)]
struct Candidate {
    choice: usize,
    name: &'static str,
    change: fn(&mut Tuning),
    /// Time of a step beside the time without the change.
    ratio: f64,
}

struct Tuner<'a> {
    context: &'a Context,
    network: Network,
    candidates: Vec<Candidate>,
    begin: Instant,
    seconds: f64,
    batch: usize,
}

impl<'a> Tuner<'a> {
    fn new(context: &'a Context, options: &Options) -> Result<Self> {
        let begin = Instant::now();
        let shape = Shape::new(32, 32, 3);
        let network = zoo::by_name(&options.model, shape, 10, Normalisation::batch())?;
        let (candidates, seconds) = (candidates(context), options.seconds as f64);
        let [.., smallest] = BATCHES;
        let mut tuner = Self { context, network, candidates, begin, seconds, batch: smallest };
        let sifted = tuner.candidates.len() * (1 + SIFTED_BY);
        let steps = 2 * (sifted + LEFT * (1 + ACCEPTED_BY));
        let mut trainer = tuner.trainer(context.tuning())?;
        // The first step compiles.
        step(&mut trainer)?;
        let an_example = step(&mut trainer)? / smallest as f64;
        let fits = |batch: &usize| (steps * batch) as f64 * an_example < 0.8 * seconds;
        tuner.batch = BATCHES.into_iter().find(fits).unwrap_or(smallest);
        Ok(tuner)
    }

    fn is_over(&self, share: f64) -> bool {
        self.begin.elapsed() > Duration::from_secs_f64(share * self.seconds)
    }

    /// The fastest tuning: all changes are timed alone first, and those that gain then in the order
    /// of what they gain, each on top of the ones that were kept.
    fn tune(&self) -> Result<Tuning> {
        println!("{} changes, timed on steps of {} examples", self.candidates.len(), self.batch);
        let mut best = self.context.tuning();
        let mut plain = self.trainer(best)?;
        let (mut gaining, mut left_out) = (Vec::new(), Vec::new());
        for candidate in &self.candidates {
            if self.is_over(SIFTING) {
                left_out.push(candidate.name);
                continue;
            }
            let ratio = self.compare((&mut plain, best), candidate, SIFTED_BY)?;
            if ratio < 1.0 - GAIN {
                gaining.push(Candidate { ratio, ..*candidate });
            }
        }
        gaining.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
        println!("{} of them gain, and are timed again, one on top of the other", gaining.len());
        let mut made = Vec::new();
        for candidate in gaining {
            if made.contains(&candidate.choice) {
                continue;
            }
            if self.is_over(1.0) {
                left_out.push(candidate.name);
            } else if self.compare((&mut plain, best), &candidate, ACCEPTED_BY)? < 1.0 - GAIN {
                println!("{:<46} kept", "");
                (candidate.change)(&mut best);
                plain = self.trainer(best)?;
                made.push(candidate.choice);
            }
        }
        if !left_out.is_empty() {
            let (seconds, names) = (self.seconds, left_out.join(", "));
            println!("left as it is, for want of time (--seconds {seconds}): {names}");
        }
        Ok(best)
    }

    /// Time of a step with a change beside the time without: the median over pairs of steps, since
    /// a machine that is busy or throttled for a while slows down both of a pair.
    fn compare(
        &self,
        (plain, tuning): (&mut Trainer, Tuning),
        candidate: &Candidate,
        pairs: usize,
    ) -> Result<f64> {
        let mut changed = tuning;
        (candidate.change)(&mut changed);
        let mut changed = self.trainer(changed)?;
        // The first step compiles.
        step(plain)?;
        step(&mut changed)?;
        let (mut seconds, mut ratios) = (Vec::new(), Vec::new());
        let begin = Instant::now();
        // Short steps are timed more often.
        while ratios.len() < pairs
            || (ratios.len() < 5 * pairs && begin.elapsed() < Duration::from_secs(1))
        {
            let pair = [step(plain)?, step(&mut changed)?];
            seconds.push(pair[0]);
            ratios.push(pair[1] / pair[0]);
        }
        let (milliseconds, ratio) = (median(seconds) * 1e3, median(ratios));
        let change = (ratio - 1.0) * 1e2;
        println!("{:<46} {milliseconds:>9.2} ms {change:>+7.1} %", candidate.name);
        Ok(ratio)
    }

    fn trainer(&self, tuning: Tuning) -> Result<Trainer> {
        let context = self.context.clone().with_tuning(tuning);
        let shape = self.network.input();
        let images: Vec<u8> = (0..200 * shape.len()).map(|i| (i * i / 7 + i / 3) as u8).collect();
        let labels: Vec<u32> = (0..200).map(|i| i % 10).collect();
        let set = Examples::new(&images, &labels, shape);
        let options = TrainerOptions {
            batch: self.batch,
            clean_batch: self.batch,
            ..TrainerOptions::cifar(L2rw::default())
        };
        Ok(Trainer::new(&context, &self.network, set, Some(set), &options)?)
    }
}

/// The changes that make a difference to the context's tuning and that its device offers.
fn candidates(context: &Context) -> Vec<Candidate> {
    let start = context.tuning();
    let all = CHOICES.iter().enumerate().flat_map(|(choice, changes)| {
        let candidate = move |&(name, change)| Candidate { choice, name, change, ratio: 1.0 };
        changes.iter().map(candidate)
    });
    let differs = |candidate: &Candidate| {
        let mut changed = start;
        (candidate.change)(&mut changed);
        changed != start && changed.is_offered(context)
    };
    all.filter(differs).collect()
}

/// Seconds of a step.
fn step(trainer: &mut Trainer) -> Result<f64> {
    let start = Instant::now();
    trainer.step()?;
    trainer.take_report(true)?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
