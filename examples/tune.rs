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
    /// No new candidate is begun after so many seconds.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Folder for the result; by default the user's cache, where the other examples look.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Timed pairs of steps of two candidates.
const ROUNDS: usize = 7;
/// What a change must gain to be kept.
const GAIN: f64 = 0.02;

/// One choice made otherwise.
type Change = (&'static str, fn(&mut Tuning));

const CHANGES: [Change; 18] = [
    ("dual convolutions the other way", |t| t.composed_dual = !t.composed_dual),
    ("weights through the other kind of binding", |t| t.uniform_weights = !t.uniform_weights),
    ("loads of the other width", |t| t.wide_loads = !t.wide_loads),
    ("loads shared by subgroups the other way", |t| t.shared_loads = !t.shared_loads),
    ("one or two blocks of channels the other way", |t| t.two_blocks = !t.two_blocks),
    ("sizes of convolutions the other way", |t| t.bound_sizes = !t.bound_sizes),
    ("staging from half the channels on", |t| staging(t, |s| s.channels = (s.channels / 2).max(4))),
    ("staging from double the channels on", |t| staging(t, |s| s.channels *= 2)),
    ("staged tiles of the other width", |t| staging(t, |s| s.wide_tiles = !s.wide_tiles)),
    ("a quarter of the staged workgroups", |t| {
        staging(t, |s| s.workgroups = (s.workgroups / 4).max(16))
    }),
    ("four times the staged workgroups", |t| staging(t, |s| s.workgroups *= 4)),
    ("parts combined the other way", |t| t.trees = !t.trees),
    ("long sums split four times less", |t| {
        t.split_invocations = (t.split_invocations / 4).max(64)
    }),
    ("long sums split four times more", |t| t.split_invocations *= 4),
    ("long sums split four times more again", |t| t.split_invocations *= 4),
    ("chunks of half the size", |t| t.chunk = (t.chunk / 2).max(8)),
    ("chunks of double the size", |t| t.chunk *= 2),
    ("chunks of double the size again", |t| t.chunk *= 2),
];

fn staging(tuning: &mut Tuning, change: fn(&mut Staging)) {
    tuning.staging.iter_mut().for_each(change);
}

fn main() -> Result<()> {
    sigpipe::reset();
    let options = Options::parse();
    let context = Context::new(options.adapter.as_deref())?;
    println!("adapter: {}", context.describe());
    let network = zoo::by_name(&options.model, Shape::new(32, 32, 3), 10, Normalisation::batch())?;
    let begin = Instant::now();
    let mut best = context.tuning();
    for (name, change) in CHANGES {
        let mut candidate = best;
        change(&mut candidate);
        if candidate == best || !candidate.is_offered(&context) {
            continue;
        }
        if begin.elapsed() > Duration::from_secs(options.seconds) {
            println!("{} seconds are over: the rest stays as it is", options.seconds);
            break;
        }
        let (seconds, ratio) = compare(&context, &network, [best, candidate])?;
        let kept = ratio < 1.0 - GAIN;
        let (milliseconds, change) = (seconds * 1e3, (ratio - 1.0) * 1e2);
        let kept_note = if kept { "  kept" } else { "" };
        println!("{name:<44} {milliseconds:>9.2} ms {change:>+7.1} %{kept_note}");
        if kept {
            best = candidate;
        }
    }
    let folder = options.out.map_or_else(default_cache_dir, Ok)?;
    let path = best.keep(&folder, &context)?;
    println!("{best:#?}\nwrote {}", path.display());
    Ok(())
}

/// Seconds of an L2RW step in the first way, and how many times as many the second takes: medians
/// over pairs of steps, since a machine that is busy or throttled for a while slows down both of a
/// pair.
fn compare(context: &Context, network: &Network, tunings: [Tuning; 2]) -> Result<(f64, f64)> {
    let mut trainers = Vec::new();
    for tuning in tunings {
        trainers.push(trainer(&context.clone().with_tuning(tuning), network)?);
    }
    let (mut seconds, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let mut pair = [0.0; 2];
        for (trainer, time) in trainers.iter_mut().zip(&mut pair) {
            let start = Instant::now();
            trainer.step()?;
            trainer.take_report(true)?;
            *time = start.elapsed().as_secs_f64();
        }
        // The first step compiles.
        if round > 0 {
            seconds.push(pair[0]);
            ratios.push(pair[1] / pair[0]);
        }
    }
    Ok((median(seconds), median(ratios)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn trainer(context: &Context, network: &Network) -> Result<Trainer> {
    let shape = network.input();
    let images: Vec<u8> = (0..200 * shape.len()).map(|i| (i * i / 7 + i / 3) as u8).collect();
    let labels: Vec<u32> = (0..200).map(|i| i % 10).collect();
    let set = Examples::new(&images, &labels, shape);
    Ok(Trainer::new(context, network, set, Some(set), &TrainerOptions::cifar(L2rw::default()))?)
}
