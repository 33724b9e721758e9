//! Sums and inner products over the rows of a matrix, in an order that never changes.

use super::parts::{GRID, Lanes, wgsl};
use super::{View, per_element};
use crate::gpu::{Kernel, Recorder, Shader, TensorId};

/// `shaders/reduce/dots.wgsl`
static DOTS: Shader = Shader::new("reduce", &[GRID, wgsl!("reduce/dots")]);

/// A matrix `[rows, columns]` whose rows belong to examples, and the columns that take part.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// The matrix.
    pub matrix: TensorId,
    /// All its columns.
    pub columns: usize,
    /// First column that takes part.
    pub first: usize,
    /// Number of columns that take part.
    pub width: usize,
    /// Consecutive rows that belong to one example.
    pub per_example: usize,
}

impl Rows {
    /// All columns of a matrix.
    pub fn all(matrix: TensorId, columns: usize, per_example: usize) -> Self {
        Self { matrix, columns, first: 0, width: columns, per_example }
    }
}

/// Most elements of a segment that one invocation adds up.
const BLOCK: usize = 128;

/// Most rows that one invocation adds up where that ends the sum: a GPU waits for each.
const LAST_ROWS: usize = 64;

/// Sums each block of `block` rows, rows multiplied by the weight of their example if `weights`
/// `[n]` are given: `[rows / block, width]`.
pub fn sum_blocks(
    rec: &mut Recorder,
    rows: Rows,
    block: usize,
    weights: Option<TensorId>,
) -> TensorId {
    let count = rec.len(rows.matrix) / rows.columns;
    let sums = rec.transient("block sums", count.div_ceil(block) * rows.width);
    record_sum(rec, rows, Blocks { segment: count, block }, weights, View::whole(rec, sums));
    sums
}

/// Sums all rows into `out` `[width]`, in several steps where there are many.
pub fn sum_rows(rec: &mut Recorder, rows: Rows, weights: Option<TensorId>, out: View) {
    let (mut rows, mut weights) = (rows, weights);
    let mut count = rec.len(rows.matrix) / rows.columns;
    while count > LAST_ROWS {
        // Steps of equal length are over soonest.
        let block = count.isqrt().min(BLOCK);
        let sums = sum_blocks(rec, rows, block, weights);
        rows = Rows::all(sums, rows.width, 1);
        weights = None;
        count = count.div_ceil(block);
    }
    record_sum(rec, rows, Blocks { segment: count, block: count }, weights, out);
}

/// Dot product of each row of `x` `[rows, columns]` with the same row of `other`, into `out`
/// `[rows]`.
pub fn dot_pairs(rec: &mut Recorder, columns: usize, x: TensorId, other: TensorId, out: View) {
    let kernel = Kernel::new(&DOTS, "dot_pairs")
        .size("ROWS", out.len)
        .size("COLUMNS", columns)
        // Not used by this entry point, but an override without a value is an error.
        .size("WIDTH", columns);
    let bindings = vec![rec.read(x), rec.read(other), out.write()];
    let flops = 2 * (out.len * columns) as u64;
    rec.dispatch(kernel, bindings, per_element(out.len), flops);
}

/// Sums each segment of `len` consecutive elements of `x` into `out` `[segments]`.
pub fn sum_segments(rec: &mut Recorder, x: TensorId, len: usize, out: View) {
    let (mut x, mut len) = (x, len);
    while len > BLOCK {
        let block = len.isqrt().min(BLOCK);
        let blocks = len.div_ceil(block);
        let sums = rec.transient("block sums", out.len * blocks);
        let rows = Rows::all(x, 1, 1);
        record_sum(rec, rows, Blocks { segment: len, block }, None, View::whole(rec, sums));
        (x, len) = (sums, blocks);
    }
    record_sum(rec, Rows::all(x, 1, 1), Blocks { segment: len, block: len }, None, out);
}

/// How rows are shared out: into segments of which each is cut into blocks, the last one shorter.
struct Blocks {
    segment: usize,
    block: usize,
}

fn record_sum(
    rec: &mut Recorder,
    rows: Rows,
    Blocks { segment, block }: Blocks,
    weights: Option<TensorId>,
    out: View,
) {
    let count = rec.len(rows.matrix) / rows.columns;
    let lanes = Lanes::of(&[rows.columns, rows.first, rows.width], rec.tuning());
    let kernel = lanes
        .kernel("sum_rows", wgsl!("reduce/sums"), "sum_rows")
        .size("ROWS", count)
        .size("COLUMNS", rows.columns)
        .size("FIRST", rows.first)
        .size("WIDTH", rows.width)
        .size("BLOCK", block)
        .size("SEGMENT", segment)
        .constant("WEIGHTED", weights.is_some())
        .size("ROWS_PER_EXAMPLE", rows.per_example);
    let bindings =
        vec![rec.read(rows.matrix), rec.read(weights.unwrap_or(rows.matrix)), out.write()];
    let sums = count / segment * segment.div_ceil(block) * rows.width;
    rec.dispatch(kernel, bindings, per_element(sums / lanes.count()), (count * rows.width) as u64);
}

/// Dot product of every example's rows with one vector `[width]` into `out` `[n]`.
pub fn dot_rows(rec: &mut Recorder, rows: Rows, vector: View, out: View) {
    let count = rec.len(rows.matrix) / rows.columns;
    let kernel = Kernel::new(&DOTS, "dot_rows")
        .size("ROWS", count)
        .size("COLUMNS", rows.columns)
        .size("FIRST", rows.first)
        .size("WIDTH", rows.width)
        .size("ROWS_PER_EXAMPLE", rows.per_example);
    let bindings = vec![rec.read(rows.matrix), vector.read(), out.write()];
    let grid = per_element(count / rows.per_example);
    rec.dispatch(kernel, bindings, grid, 2 * (count * rows.width) as u64);
}
