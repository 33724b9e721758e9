//! Time of a plain step and of an L2RW step, interleaved, against the ratio that counting forward
//! passes predicts. Prints a table and writes `target/bench.json`.
//!
//! `cargo bench --bench iteration -- [MODEL …] [--profile]`: MODEL is a name of the model zoo;
//! `--profile` shows where the time of an L2RW step by the default route goes instead.

use std::time::Instant;

use anyhow::{Context as _, Result};
use l2rw::gpu::Context;
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::plan::Similarity;
use l2rw::train::{ImageSet, Trainer, TrainerOptions};
use l2rw::weighting::{L2rw, MetaWeightNet, Uniform, Weighting};
use serde::Serialize;

/// One line of the result.
#[derive(Serialize)]
struct Row {
    model: String,
    n: usize,
    m: usize,
    similarity: &'static str,
    plain_s: f64,
    l2rw_s: f64,
    ratio: f64,
    counted_ratio: f64,
    mwn_s: f64,
    /// Of a step of Meta-Weight-Net to one of L2RW by the same route.
    mwn_ratio: f64,
    mwn_counted_ratio: f64,
}

/// Timed rounds: each runs every variant once. Medians are reported.
const ROUNDS: usize = 5;

fn networks() -> Result<Vec<Network>> {
    ["mnist_lenet", "resnet8", "resnet8-gn8", "resnet32"].into_iter().map(by_name).collect()
}

/// A network of the model zoo, for its usual images.
fn by_name(name: &str) -> Result<Network> {
    let input = if name.contains("lenet") { Shape::new(28, 28, 1) } else { Shape::new(32, 32, 3) };
    Ok(zoo::by_name(name, input, 10, Normalisation::batch())?)
}

fn trainer(
    context: &Context,
    network: &Network,
    m: usize,
    weighting: impl Into<Weighting>,
) -> Result<Trainer> {
    let shape = network.input();
    let count = 1000;
    let images: Vec<u8> = (0..count * shape.len()).map(|i| (i * i / 7 + i / 3) as u8).collect();
    let labels: Vec<u32> = (0..count as u32).map(|i| i % 10).collect();
    let set = ImageSet { images: &images, labels: &labels, shape };
    let options = TrainerOptions {
        clean_batch: m,
        mean: vec![0.5; shape.channels],
        deviation: vec![0.5; shape.channels],
        ..TrainerOptions::cifar(weighting)
    };
    Ok(Trainer::new(context, network, set, Some(set), &options)?)
}

/// Seconds of one step, from encoding to the arrival of its results.
fn time_step(trainer: &mut Trainer) -> Result<f64> {
    let start = Instant::now();
    trainer.step()?;
    trainer.take_report(true)?;
    Ok(start.elapsed().as_secs_f64())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Forward passes of an L2RW step over those of a plain step.
fn counted_ratio(similarity: Similarity, n: usize, m: usize) -> f64 {
    let (n, m) = (n as f64, m as f64);
    match similarity {
        Similarity::Tangent => (5.0 * n + 3.0 * m) / (3.0 * n),
        Similarity::PerLayer => (4.0 * n + 3.0 * m) / (3.0 * n),
    }
}

/// Forward passes of a Meta-Weight-Net step over those of an L2RW step.
fn counted_mwn_ratio(similarity: Similarity, n: usize, m: usize) -> f64 {
    let (n, m) = (n as f64, m as f64);
    match similarity {
        Similarity::Tangent => (7.0 * n + 3.0 * m) / (5.0 * n + 3.0 * m),
        Similarity::PerLayer => (5.0 * n + 3.0 * m) / (4.0 * n + 3.0 * m),
    }
}

fn measure(context: &Context, network: &Network, m: usize) -> Result<Vec<Row>> {
    let mut routes = vec![Similarity::Tangent];
    if !network.mixes_examples() {
        routes.push(Similarity::PerLayer);
    }
    let l2rw = |similarity| L2rw { similarity: Some(similarity), ..L2rw::default() };
    let mut trainers = vec![trainer(context, network, m, Uniform)?];
    for &route in &routes {
        trainers.push(trainer(context, network, m, l2rw(route))?);
        let mwn = MetaWeightNet { similarity: Some(route), ..MetaWeightNet::default() };
        trainers.push(trainer(context, network, m, mwn)?);
    }
    let mut times = vec![Vec::new(); trainers.len()];
    for round in 0..=ROUNDS {
        for (trainer, times) in trainers.iter_mut().zip(&mut times) {
            let seconds = time_step(trainer)?;
            // The first round compiles.
            if round > 0 {
                times.push(seconds);
            }
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    let (plain_s, learned) = medians.split_first().context("plain training was timed")?;
    let plain_s = *plain_s;
    let n = trainers[0].options().batch;
    let row = |(similarity, times): (Similarity, &[f64])| Row {
        model: network.name.clone(),
        n,
        m,
        similarity: if similarity == Similarity::Tangent { "tangent" } else { "per-layer" },
        plain_s,
        l2rw_s: times[0],
        ratio: times[0] / plain_s,
        counted_ratio: counted_ratio(similarity, n, m),
        mwn_s: times[1],
        mwn_ratio: times[1] / times[0],
        mwn_counted_ratio: counted_mwn_ratio(similarity, n, m),
    };
    Ok(routes.into_iter().zip(learned.chunks_exact(2)).map(row).collect())
}

/// Prints where the time of a step goes: by kernel and, with the most expensive first, by layer.
fn print_profile(trainer: &mut Trainer) -> Result<()> {
    time_step(trainer)?;
    trainer.profile()?;
    let seconds = trainer.profile()?.context("the adapter has no timestamps")?;
    let dispatches = trainer.plan().recording.dispatches.iter().zip(&seconds);
    let mut by_kernel = std::collections::BTreeMap::new();
    for (dispatch, seconds) in dispatches.clone() {
        let entry = by_kernel.entry((dispatch.stage, dispatch.kernel.to_string()));
        let sum: &mut (f64, u64, usize) = entry.or_default();
        *sum = (sum.0 + seconds, sum.1 + dispatch.flops, sum.2 + 1);
    }
    let mut by_kernel: Vec<_> = by_kernel.into_iter().collect();
    by_kernel.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    let total: f64 = seconds.iter().sum();
    println!("{}: {:.1} ms in {} dispatches", trainer.network().name, total * 1e3, seconds.len());
    for ((stage, kernel), (seconds, flops, count)) in by_kernel.iter().take(20) {
        let (ms, rate) = (seconds * 1e3, *flops as f64 / seconds * 1e-9);
        println!("  {stage:<10} {kernel:<34} x{count:<3} {ms:>9.2} ms {rate:>8.1} GFLOP/s");
    }
    let mut slowest: Vec<_> = dispatches.collect();
    slowest.sort_by(|a, b| b.1.total_cmp(a.1));
    for (d, seconds) in slowest.iter().take(15) {
        let (ms, rate) = (*seconds * 1e3, d.flops as f64 / *seconds * 1e-9);
        let (stage, label, kernel) = (d.stage, &d.label, d.kernel.to_string());
        println!("  {stage:<10} {label:<24} {kernel:<30} {ms:>9.2} ms {rate:>8.1} GFLOP/s");
    }
    Ok(())
}

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let context = Context::new(None)?;
    println!("adapter: {}", context.describe());
    println!(
        "{:<18} {:>4} {:>4} {:<10} {:>10} {:>10} {:>7} {:>8} {:>9} {:>10} {:>9} {:>8}",
        "model",
        "n",
        "m",
        "similarity",
        "plain s",
        "L2RW s",
        "ratio",
        "counted",
        "measured/",
        "MWN s",
        "MWN/L2RW",
        "counted"
    );
    let mut rows = Vec::new();
    let wanted = wanted.iter().map(|name| by_name(name)).collect::<Result<Vec<_>>>()?;
    for network in if wanted.is_empty() { networks()? } else { wanted } {
        if std::env::args().any(|argument| argument == "--profile") {
            print_profile(&mut trainer(&context, &network, 100, L2rw::default())?)?;
            continue;
        }
        for m in [100, 10] {
            for row in measure(&context, &network, m)? {
                println!(
                    "{:<18} {:>4} {:>4} {:<10} {:>10.4} {:>10.4} {:>7.2} {:>8.2} {:>9.2} \
                     {:>10.4} {:>9.2} {:>8.2}",
                    row.model,
                    row.n,
                    row.m,
                    row.similarity,
                    row.plain_s,
                    row.l2rw_s,
                    row.ratio,
                    row.counted_ratio,
                    row.ratio / row.counted_ratio,
                    row.mwn_s,
                    row.mwn_ratio,
                    row.mwn_counted_ratio
                );
                rows.push(row);
            }
        }
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench.json");
    std::fs::write(&path, serde_json::to_string_pretty(&rows)?)?;
    println!("wrote {}", path.display());
    Ok(())
}
