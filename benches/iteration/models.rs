//! A plain step against an L2RW step, all variants of a network interleaved, against the ratio
//! that counting forward passes predicts.

use anyhow::{Context as _, Result};
use l2rw::gpu::Context;
use l2rw::nn::Network;
use l2rw::plan::{Similarity, Weighting};
use serde::Serialize;

use crate::support::{
    BATCH, Spread, counted_ratio, interleaved, l2rw, print_table, progress, similarity_name,
    trainer,
};

/// One L2RW variant of a model.
#[derive(Serialize)]
pub struct Row {
    pub model: String,
    pub n: usize,
    pub m: usize,
    pub similarity: &'static str,
    pub plain_s: Spread,
    pub l2rw_s: Spread,
    pub ratio: f64,
    pub counted_ratio: f64,
    pub ratio_over_counted: f64,
}

/// m of the variants.
const CLEAN: [usize; 2] = [BATCH, 10];

pub fn measure(context: &Context, networks: &[Network], rounds: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for network in networks {
        rows.extend(variants(context, network, BATCH, &CLEAN, rounds)?);
    }
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let header =
        ["model", "route", "n", "m", "plain s", "L2RW s", "ratio", "counted", "ratio/counted"];
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
    let mut routes = vec![Similarity::Tangent];
    if !network.mixes_examples() {
        routes.push(Similarity::PerLayer);
    }
    let kinds: Vec<_> =
        clean.iter().flat_map(|&m| routes.iter().map(move |&route| (m, route))).collect();
    let bar = progress((kinds.len() + 1) * (rounds + 1), &network.name);
    let mut trainers = vec![trainer(context, network, n, 1, Weighting::Uniform)?];
    for &(m, route) in &kinds {
        trainers.push(trainer(context, network, n, m, l2rw(route))?);
    }
    let mut spreads = interleaved(&mut trainers, rounds, &bar)?.into_iter();
    bar.finish_and_clear();
    let plain_s = spreads.next().context("plain training was timed")?;
    let row = |((m, route), l2rw_s): ((usize, Similarity), Spread)| {
        let ratio = l2rw_s.median / plain_s.median;
        let counted_ratio = counted_ratio(route, n, m);
        Row {
            model: network.name.clone(),
            n,
            m,
            similarity: similarity_name(route),
            plain_s,
            l2rw_s,
            ratio,
            counted_ratio,
            ratio_over_counted: ratio / counted_ratio,
        }
    };
    Ok(kinds.into_iter().zip(spreads).map(row).collect())
}

fn cells(row: &Row) -> Vec<String> {
    vec![
        row.model.clone(),
        row.similarity.to_owned(),
        row.n.to_string(),
        row.m.to_string(),
        format!("{:.4}", row.plain_s.median),
        format!("{:.4}", row.l2rw_s.median),
        format!("{:.2}", row.ratio),
        format!("{:.2}", row.counted_ratio),
        format!("{:.2}", row.ratio_over_counted),
    ]
}
