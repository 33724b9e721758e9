//! Every kernel on the shapes that matter, against the measured peaks of the adapter.

use anyhow::Result;
use l2rw::gpu::{Context, ElementType, Recorder, TensorId, Tuning};
use l2rw::ops::norm::{self, Norm};
use l2rw::ops::{NormKind, Rows, View, Window, conv, matmul, pool, reduce, relu};
use serde::Serialize;

use crate::peaks::Peaks;
use crate::support::{BATCH, dispatch_seconds, executable, print_table, progress};

/// An operation on a shape; an operation may be several dispatches.
#[derive(Serialize)]
pub struct Row {
    pub operation: String,
    pub shape: String,
    pub dispatches: usize,
    pub seconds: f64,
    pub gflop_per_s: f64,
    /// By the bytes of all bindings, each touched once.
    pub gb_per_s: f64,
    /// Least seconds at the adapter's peaks over the measured ones; above 1 where a cache holds
    /// what the peak of the bandwidth had to fetch from memory.
    pub share_of_peak: f64,
}

/// What a dispatch may take at the peak, in seconds.
const LONGEST_AT_PEAK_S: f64 = 0.2;
/// What a dispatch of a wide convolution may take at the peak: few kernels reach it.
const LONGEST_WIDE_S: f64 = 0.005;

/// Operations over one shape, recorded together.
struct Case {
    shape: String,
    rec: Recorder,
    operations: Vec<(&'static str, usize)>,
}

impl Case {
    fn new(shape: String, tuning: Tuning) -> Self {
        let mut rec = Recorder::new();
        rec.tune(tuning);
        Self { shape, rec, operations: Vec::new() }
    }

    fn input(&mut self, label: &str, len: usize) -> TensorId {
        self.rec.external(label, ElementType::F32, len)
    }

    fn view(&mut self, label: &str, len: usize) -> View {
        let tensor = self.input(label, len);
        View::whole(&self.rec, tensor)
    }

    /// Ends an operation: its dispatches are those since the last one's end.
    fn end(&mut self, operation: &'static str) {
        self.operations.push((operation, self.rec.fence()));
    }

    fn run(self, context: &Context, peaks: &Peaks, rounds: usize) -> Result<Vec<Row>> {
        let executable = executable(context, self.rec.finish()?)?;
        let seconds = dispatch_seconds(context, &executable, rounds)?;
        let dispatches = &executable.recording().dispatches;
        let mut rows = Vec::new();
        let mut first = 0;
        for (operation, end) in self.operations {
            let these = &dispatches[first..end];
            let taken: f64 = seconds[first..end].iter().map(|spread| spread.median).sum();
            let flops: u64 = these.iter().map(|d| d.flops).sum();
            let bytes: u64 = these.iter().map(|d| d.bytes()).sum();
            let least: f64 = these.iter().map(|d| peaks.least_seconds(d.flops, d.bytes())).sum();
            rows.push(Row {
                operation: operation.to_owned(),
                shape: self.shape.clone(),
                dispatches: end - first,
                seconds: taken,
                gflop_per_s: flops as f64 / taken * 1e-9,
                gb_per_s: bytes as f64 / taken * 1e-9,
                share_of_peak: least / taken,
            });
            first = end;
        }
        Ok(rows)
    }
}

pub fn measure(context: &Context, peaks: &Peaks, wide: bool, rounds: usize) -> Result<Vec<Row>> {
    let tuning = Tuning::of(context);
    let mut cases = matrix_products(peaks, tuning);
    for (size, channels) in [(32, 16), (16, 32), (8, 64)] {
        cases.push(convolution(size, channels, BATCH, tuning));
    }
    for (size, channels) in [(32, 160), (16, 320), (8, 640)].into_iter().filter(|_| wide) {
        let flops = Window::same(size, size, channels, channels, 3, 1).flops() as f64;
        let fitting = (LONGEST_WIDE_S * peaks.gflop_per_s * 1e9 / flops) as usize;
        cases.push(convolution(size, channels, fitting.clamp(1, BATCH), tuning));
    }
    cases.push(normalisation(NormKind::Batch, tuning));
    cases.push(normalisation(NormKind::Group { groups: 8 }, tuning));
    cases.extend([pooling(tuning), elementwise(tuning), reduction(tuning)]);

    let bar = progress(cases.len(), "kernels");
    let mut rows = Vec::new();
    for case in cases {
        bar.set_message(format!("kernels, {}", case.shape));
        rows.extend(case.run(context, peaks, rounds)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    print(&rows);
    Ok(rows)
}

fn matrix_products(peaks: &Peaks, tuning: Tuning) -> Vec<Case> {
    let sizes = [[256; 3], [512; 3], [1024; 3], [2048; 3], [509, 613, 467]];
    let mut cases = Vec::new();
    for [m, k, n] in sizes {
        let shape = format!("{m}x{k}x{n}");
        let gflop = 2.0 * (m * k * n) as f64 * 1e-9;
        if gflop / peaks.gflop_per_s > LONGEST_AT_PEAK_S {
            println!("\nmatrix products of {shape} left out: this adapter takes too long");
            continue;
        }
        let mut case = Case::new(shape, tuning);
        let (a, b) = (case.input("a", m * k), case.input("b", k * n));
        matmul::nn(&mut case.rec, m, k, n, a, b);
        case.end("matmul nn");
        matmul::nt(&mut case.rec, m, k, n, a, b);
        case.end("matmul nt");
        matmul::tn(&mut case.rec, m, k, n, a, b);
        case.end("matmul tn");
        cases.push(case);
    }
    cases
}

/// A 3×3 convolution of as many channels as before.
fn convolution(size: usize, channels: usize, n: usize, tuning: Tuning) -> Case {
    let w = Window::same(size, size, channels, channels, 3, 1);
    let mut case = Case::new(format!("{n}x{size}x{size}x{channels}"), tuning);
    let x = case.input("x", n * w.input_len());
    let dx = case.input("dx", n * w.input_len());
    let dy = case.input("dy", n * w.output_len());
    let weights = case.view("weights", w.weight_len());
    let tangent = case.view("weights tangent", w.weight_len());
    let similarities = case.view("similarities", n);
    let gradient = case.view("gradient", w.weight_len());
    let rec = &mut case.rec;
    conv::forward(rec, &w, n, x, weights, None);
    case.end("conv forward");
    conv::dual(&mut case.rec, &w, n, (x, Some(dx)), weights, tangent, None);
    case.end("conv dual");
    conv::input_gradient(&mut case.rec, &w, n, dy, weights);
    case.end("conv input gradient");
    conv::similarity(&mut case.rec, &w, n, x, dy, tangent, similarities);
    case.end("conv similarity");
    conv::weight_gradient(&mut case.rec, &w, n, x, dy, None, gradient);
    case.end("conv weight gradient");
    case
}

/// ResNet-32's largest normalised activation.
const ACTIVATION: [usize; 3] = [BATCH, 32 * 32, 16];

fn activation_shape() -> String {
    let [n, _, channels] = ACTIVATION;
    format!("{n}x32x32x{channels}")
}

fn normalisation(kind: NormKind, tuning: Tuning) -> Case {
    let [n, positions, channels] = ACTIVATION;
    let name = if kind == NormKind::Batch { "BatchNorm" } else { "GroupNorm" };
    let mut case = Case::new(format!("{} {name}", activation_shape()), tuning);
    let norm = Norm {
        kind,
        n,
        whole: None,
        positions,
        channels,
        epsilon: 1e-5,
        has_scale: true,
        relu: true,
    };
    let len = n * positions * channels;
    let (x, dx, dy) = (case.input("x", len), case.input("dx", len), case.input("dy", len));
    let affine = case.view("affine", 2 * channels);
    let tangent = case.view("affine tangent", 2 * channels);
    let moments = norm::statistics(&mut case.rec, &norm, x, None);
    case.end("norm statistics");
    norm::forward(&mut case.rec, &norm, x, moments, affine);
    case.end("norm forward");
    norm::tangent(&mut case.rec, &norm, x, dx, moments, affine, Some(tangent));
    case.end("norm tangent");
    let sums = norm::gradient_sums(&mut case.rec, &norm, x, moments, affine, dy);
    norm::backward(&mut case.rec, &sums, x, moments, affine, dy, None);
    case.end("norm backward");
    case
}

/// The official LeNet's first pooling.
fn pooling(tuning: Tuning) -> Case {
    let w = Window::same(28, 28, 16, 16, 3, 2);
    let mut case = Case::new(format!("{BATCH}x28x28x16 by 3x3"), tuning);
    let x = case.input("x", BATCH * w.input_len());
    let dy = case.input("dy", BATCH * w.output_len());
    let (_, winner) = pool::max_forward(&mut case.rec, &w, BATCH, x);
    case.end("max pool forward");
    pool::max_tangent(&mut case.rec, &w, BATCH, x, winner);
    case.end("max pool tangent");
    pool::max_backward(&mut case.rec, &w, BATCH, dy, winner);
    case.end("max pool backward");
    pool::average_forward(&mut case.rec, &w, BATCH, x);
    case.end("average pool forward");
    pool::average_backward(&mut case.rec, &w, BATCH, dy);
    case.end("average pool backward");
    case
}

fn elementwise(tuning: Tuning) -> Case {
    let mut case = Case::new(activation_shape(), tuning);
    let len = ACTIVATION.iter().product();
    let (x, dy) = (case.input("x", len), case.input("dy", len));
    let y = relu::forward(&mut case.rec, x);
    case.end("relu forward");
    relu::mask(&mut case.rec, y, dy);
    case.end("relu mask");
    case
}

fn reduction(tuning: Tuning) -> Case {
    let [n, positions, channels] = ACTIVATION;
    let rows = n * positions;
    let mut case = Case::new(format!("{rows}x{channels}"), tuning);
    let x = case.input("x", rows * channels);
    let sums = case.view("sums", channels);
    let dots = case.view("dots", n);
    let vector = case.view("vector", channels);
    reduce::sum_rows(&mut case.rec, Rows::all(x, channels, 1), None, sums);
    case.end("sum of rows");
    reduce::dot_rows(&mut case.rec, Rows::all(x, channels, positions), vector, dots);
    case.end("dots of examples");
    case
}

fn print(rows: &[Row]) {
    let cells = |row: &Row| {
        vec![
            row.operation.clone(),
            row.shape.clone(),
            row.dispatches.to_string(),
            format!("{:.3}", row.seconds * 1e3),
            format!("{:.2}", row.gflop_per_s),
            format!("{:.2}", row.gb_per_s),
            format!("{:.1}", row.share_of_peak * 100.0),
        ]
    };
    let cells: Vec<_> = rows.iter().map(cells).collect();
    let header = ["operation", "shape", "dispatches", "ms", "GFLOP/s", "GB/s", "% of peak"];
    print_table("Kernels against the adapter's measured peaks", 2, &header, &cells);
}
