//! How the seconds of a step grow with n, m, width and depth.

use anyhow::Result;
use l2rw::gpu::{Context, Tuning};
use l2rw::nn::Network;
use l2rw::plan::{self, Input, Optimizer, TrainingOptions};
use l2rw::weighting::Uniform;
use serde::Serialize;

use crate::models;
use crate::support::{by_name, print_table};

/// One point of a series, by the tangent route.
#[derive(Serialize)]
pub struct Row {
    pub varied: &'static str,
    #[serde(flatten)]
    pub point: models::Row,
    /// Operations of a plain step.
    pub plain_gflop: f64,
    /// Seconds and operations of a plain step over those of the point before.
    pub plain_growth: Option<f64>,
    pub gflop_growth: Option<f64>,
}

/// Model, n and m.
type Point = (&'static str, usize, usize);

/// What varies, and the points of the series.
const SERIES: [(&str, &[Point]); 4] = [
    ("n", &[("resnet8", 25, 50), ("resnet8", 50, 50), ("resnet8", 100, 50), ("resnet8", 200, 50)]),
    (
        "m",
        &[("resnet8", 100, 25), ("resnet8", 100, 50), ("resnet8", 100, 100), ("resnet8", 100, 200)],
    ),
    ("width", &[("resnet8-w8", 100, 100), ("resnet8-w16", 100, 100), ("resnet8-w32", 100, 100)]),
    (
        "depth",
        &[
            ("resnet8", 100, 100),
            ("resnet14", 100, 100),
            ("resnet20", 100, 100),
            ("resnet32", 100, 100),
        ],
    ),
];

pub fn measure(context: &Context, rounds: usize) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for (varied, points) in SERIES {
        for &(name, n, m) in points {
            let network = by_name(name)?;
            let plain_gflop = plain_gflop(&network, n)?;
            let before = rows.last().filter(|row| row.varied == varied);
            let before = before.map(|row| (row.point.plain_s.median, row.plain_gflop));
            for point in models::variants(context, &network, n, &[m], rounds)? {
                let plain_growth = before.map(|(seconds, _)| point.plain_s.median / seconds);
                let gflop_growth = before.map(|(_, gflop)| plain_gflop / gflop);
                rows.push(Row { varied, point, plain_gflop, plain_growth, gflop_growth });
            }
        }
    }
    print(&rows);
    Ok(rows)
}

fn plain_gflop(network: &Network, n: usize) -> Result<f64> {
    let options = TrainingOptions {
        batch: n,
        clean_batch: 1,
        weighting: Uniform.into(),
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        tuning: Tuning::default(),
        input: Input::Buffers,
    };
    Ok(plan::training(network, &options)?.recording.flops() as f64 * 1e-9)
}

fn print(rows: &[Row]) {
    let growth = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.2}"));
    let cells = |row: &Row| {
        let point = &row.point;
        vec![
            row.varied.to_owned(),
            point.model.clone(),
            point.n.to_string(),
            point.m.to_string(),
            format!("{:.2}", row.plain_gflop),
            growth(row.gflop_growth),
            format!("{:.4}", point.plain_s.median),
            growth(row.plain_growth),
            format!("{:.4}", point.l2rw_s.median),
            format!("{:.2}", point.ratio),
            format!("{:.2}", point.counted_ratio),
        ]
    };
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let header = [
        "varied",
        "model",
        "n",
        "m",
        "plain GFLOP",
        "×",
        "plain s",
        "×",
        "L2RW s",
        "ratio",
        "counted",
    ];
    print_table("Growth", 2, &header, &cells);
}
