//! Where the time of an L2RW step by the network's own route goes: by kernel, and by layer with
//! the most expensive first.

use std::collections::BTreeMap;

use anyhow::Result;
use l2rw::gpu::{Context, Dispatch};
use l2rw::nn::Network;

use crate::support::{BATCH, dispatch_seconds, l2rw, print_table, time_step, trainer};

/// Sums over the dispatches of a kernel in a stage.
#[derive(Clone, Copy, Default)]
struct Sum {
    seconds: f64,
    flops: u64,
    dispatches: usize,
}

pub fn print(context: &Context, network: &Network) -> Result<()> {
    let mut trainer = trainer(context, network, BATCH, BATCH, l2rw(None))?;
    time_step(&mut trainer)?;
    let seconds = dispatch_seconds(context, trainer.executable(), 1)?;
    let seconds: Vec<f64> = seconds.into_iter().map(|spread| spread.median).collect();
    let dispatches: Vec<_> = trainer.plan().recording.dispatches.iter().zip(&seconds).collect();
    let total: f64 = seconds.iter().sum();
    let title = format!("{}: {:.1} ms in {} dispatches", network.name, total * 1e3, seconds.len());
    let header = ["stage", "kernel", "dispatches", "ms", "GFLOP/s"];
    print_table(&title, 2, &header, &by_kernel(&dispatches));
    print_table("slowest", 3, &["stage", "layer", "kernel", "ms", "GFLOP/s"], &slowest(dispatches));
    Ok(())
}

fn by_kernel(dispatches: &[(&Dispatch, &f64)]) -> Vec<Vec<String>> {
    let mut sums: BTreeMap<(&str, String), Sum> = BTreeMap::new();
    for (dispatch, seconds) in dispatches {
        let sum = sums.entry((dispatch.stage, dispatch.kernel.to_string())).or_default();
        sum.seconds += *seconds;
        sum.flops += dispatch.flops;
        sum.dispatches += 1;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
    let cells = |((stage, kernel), sum): &((&str, String), Sum)| {
        vec![
            (*stage).to_owned(),
            kernel.clone(),
            sum.dispatches.to_string(),
            format!("{:.2}", sum.seconds * 1e3),
            format!("{:.1}", sum.flops as f64 / sum.seconds * 1e-9),
        ]
    };
    sums.iter().take(20).map(cells).collect()
}

fn slowest(mut dispatches: Vec<(&Dispatch, &f64)>) -> Vec<Vec<String>> {
    dispatches.sort_by(|a, b| b.1.total_cmp(a.1));
    let cells = |(dispatch, seconds): &(&Dispatch, &f64)| {
        vec![
            dispatch.stage.to_owned(),
            dispatch.label.clone(),
            dispatch.kernel.to_string(),
            format!("{:.2}", *seconds * 1e3),
            format!("{:.1}", dispatch.flops as f64 / *seconds * 1e-9),
        ]
    };
    dispatches.iter().take(15).map(cells).collect()
}
