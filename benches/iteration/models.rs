//! A plain step against a step of L2RW and of Meta-Weight-Net, all variants of a network
//! interleaved, against the ratio that counting forward passes predicts.

use anyhow::{Context as _, Result};
use l2rw::gpu::Context;
use l2rw::nn::Network;
use l2rw::plan::Route;
use l2rw::weighting::{MetaWeightNet, Uniform};
use serde::Serialize;

use crate::support::{
    BATCH, Spread, counted_ratio, interleaved, l2rw, print_table, progress, route_name, trainer,
};

/// One L2RW variant of a model.
#[derive(Serialize)]
pub struct Row {
    pub model: String,
    pub n: usize,
    pub m: usize,
    pub route: &'static str,
    pub plain_s: Spread,
    pub l2rw_s: Spread,
    pub ratio: f64,
    pub counted_ratio: f64,
    pub ratio_over_counted: f64,
    pub mwn_s: Spread,
    /// A step of Meta-Weight-Net over one of L2RW by the same route.
    pub mwn_over_l2rw: f64,
    pub counted_mwn_over_l2rw: f64,
}

/// m of the variants.
const CLEAN: [usize; 2] = [BATCH, 10];

pub fn measure(context: &Context, networks: &[Network], rounds: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for network in networks {
        rows.extend(variants(context, network, BATCH, &CLEAN, rounds)?);
    }
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let header = [
        "model",
        "route",
        "n",
        "m",
        "plain s",
        "L2RW s",
        "ratio",
        "counted",
        "ratio/counted",
        "MWN s",
        "MWN/L2RW",
        "counted",
    ];
    print_table("Seconds of a step (medians)", 2, &header, &cells);
    Ok(rows)
}

/// Every route that is exact for the network, with every m.
pub fn variants(
    context: &Context,
    network: &Network,
    n: usize,
    clean: &[usize],
    rounds: usize,
) -> Result<Vec<Row>> {
    let mut routes = vec![Route::Tangent];
    if !network.mixes_examples() {
        routes.push(Route::PerLayer);
    }
    let kinds: Vec<_> =
        clean.iter().flat_map(|&m| routes.iter().map(move |&route| (m, route))).collect();
    let bar = progress((2 * kinds.len() + 1) * (rounds + 1), &network.name);
    let mut trainers = vec![trainer(context, network, n, 1, Uniform)?];
    for &(m, route) in &kinds {
        trainers.push(trainer(context, network, n, m, l2rw(route))?);
        let mwn = MetaWeightNet { route: Some(route), ..MetaWeightNet::default() };
        trainers.push(trainer(context, network, n, m, mwn)?);
    }
    let spreads = interleaved(&mut trainers, rounds, &bar)?;
    bar.finish_and_clear();
    let (&plain_s, learned) = spreads.split_first().context("plain training was timed")?;
    let row = |((m, route), times): ((usize, Route), &[Spread])| {
        let (l2rw_s, mwn_s) = (times[0], times[1]);
        let ratio = l2rw_s.median / plain_s.median;
        let counted_ratio = counted_ratio(route, n, m);
        Row {
            model: network.name.clone(),
            n,
            m,
            route: route_name(route),
            plain_s,
            l2rw_s,
            ratio,
            counted_ratio,
            ratio_over_counted: ratio / counted_ratio,
            mwn_s,
            mwn_over_l2rw: mwn_s.median / l2rw_s.median,
            counted_mwn_over_l2rw: counted_mwn_ratio(route, n, m),
        }
    };
    Ok(kinds.into_iter().zip(learned.chunks_exact(2)).map(row).collect())
}

/// Forward passes of a Meta-Weight-Net step over those of an L2RW step.
fn counted_mwn_ratio(route: Route, n: usize, m: usize) -> f64 {
    let (n, m) = (n as f64, m as f64);
    match route {
        Route::Tangent => (7.0 * n + 3.0 * m) / (5.0 * n + 3.0 * m),
        Route::PerLayer => (5.0 * n + 3.0 * m) / (4.0 * n + 3.0 * m),
    }
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.model.clone(),
        row.route.to_owned(),
        row.n.to_string(),
        row.m.to_string(),
        format!("{:.4}", row.plain_s.median),
        format!("{:.4}", row.l2rw_s.median),
        format!("{:.2}", row.ratio),
        format!("{:.2}", row.counted_ratio),
        format!("{:.2}", row.ratio_over_counted),
        format!("{:.4}", row.mwn_s.median),
        format!("{:.2}", row.mwn_over_l2rw),
        format!("{:.2}", row.counted_mwn_over_l2rw),
    ]
}
