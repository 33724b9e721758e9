//! Steps cut into short submissions: how long the longest runs, and what cutting costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use l2rw::gpu::Context;
use l2rw::nn::Network;
use l2rw::train::Trainer;
use serde::Serialize;

use crate::support::{BATCH, interleaved, l2rw, print_table, progress, time_step, trainer};

/// Estimated work of a submission.
const LIMIT: Duration = Duration::from_millis(5);
/// Steps after which the device's pace is known.
const LEARNING: usize = 5;

#[derive(Serialize)]
pub struct Slices {
    pub model: String,
    /// Submissions of a step, each estimated to run for 5 ms at most.
    pub submissions: usize,
    /// The longest one, waited for.
    pub longest_s: f64,
    /// Median seconds of a step in one submission, and cut.
    pub whole_s: f64,
    pub cut_s: f64,
}

pub fn measure(context: &Context, networks: &[Network], rounds: usize) -> Result<Vec<Slices>> {
    let bar = progress(networks.len() * 2 * (rounds + 1), "submissions");
    let mut rows = Vec::new();
    for network in networks {
        bar.set_message(format!("submissions of {}", network.name));
        let limited = context.clone().with_submission_limit(Some(LIMIT));
        let unlimited = context.clone().with_submission_limit(None);
        let trainer_on = |context: &Context| trainer(context, network, BATCH, BATCH, l2rw(None));
        let mut trainers = [trainer_on(&unlimited)?, trainer_on(&limited)?];
        for _ in 0..LEARNING {
            time_step(&mut trainers[0])?;
        }
        let spreads = interleaved(&mut trainers, rounds, &bar)?;
        let (submissions, longest_s) = longest(&limited, &trainers[1]);
        let model = network.name.clone();
        let (whole_s, cut_s) = (spreads[0].median, spreads[1].median);
        rows.push(Slices { model, submissions, longest_s, whole_s, cut_s });
    }
    bar.finish_and_clear();
    print(&rows);
    Ok(rows)
}

/// Runs the submissions of a step one by one.
fn longest(context: &Context, trainer: &Trainer) -> (usize, f64) {
    let executable = trainer.executable();
    let ranges = context.cut(executable.recording(), context.submission_limit());
    let count = ranges.len();
    let seconds = ranges.into_iter().map(|range| {
        let mut encoder = context.device.create_command_encoder(&Default::default());
        executable.encode_range(&mut encoder.begin_compute_pass(&Default::default()), range);
        let start = Instant::now();
        context.submit(encoder);
        let _ = context.device.poll(wgpu::PollType::wait_indefinitely());
        start.elapsed().as_secs_f64()
    });
    (count, seconds.fold(0.0, f64::max))
}

fn print(rows: &[Slices]) {
    let row = |row: &Slices| {
        vec![
            row.model.clone(),
            row.submissions.to_string(),
            format!("{:.1}", 1e3 * row.longest_s),
            format!("{:.3}", row.whole_s),
            format!("{:.3}", row.cut_s),
            format!("{:.1}", 100.0 * (row.cut_s / row.whole_s - 1.0)),
        ]
    };
    let header = ["model", "submissions", "longest ms", "whole s", "cut s", "lost %"];
    let rows: Vec<_> = rows.iter().map(row).collect();
    print_table("L2RW steps in submissions of 5 ms of estimated work", 1, &header, &rows);
}
