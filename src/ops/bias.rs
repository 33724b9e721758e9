//! A bias for every channel, with its gradient and its similarity.

use super::parts::{Lanes, wgsl};
use super::{Rows, View, per_element, reduce};
use crate::gpu::{Access, Recorder, TensorId};

/// Adds `bias` `[channels]` to every position of `y` `[n, positions, channels]`, in place. With
/// the tangent of the bias it is its own tangent.
pub fn forward(rec: &mut Recorder, y: TensorId, bias: View) {
    let len = rec.len(y);
    let lanes = Lanes::of(&[bias.len], rec.tuning());
    let kernel = lanes.kernel("bias", wgsl!("bias"), "forward").size("CHANNELS", bias.len);
    let bindings = vec![rec.whole(y, Access::ReadWrite), bias.read()];
    rec.dispatch(kernel, bindings, per_element(len / lanes.count()), len as u64);
}

/// Sums of an output gradient `[n, positions, channels]` over chunks of each example's positions:
/// the first step of both the gradient and the similarity.
pub fn position_sums(rec: &mut Recorder, dy: TensorId, positions: usize, channels: usize) -> Rows {
    if positions == 1 {
        return Rows::all(dy, channels, 1);
    }
    let rows = Rows::all(dy, channels, positions);
    // Chunks must not straddle examples, and very short ones are not worth it.
    let longest = positions.min(rec.tuning().chunk.max(1));
    let divides = |chunk: &usize| positions.is_multiple_of(*chunk);
    let chunk = (longest.div_ceil(4)..=longest).rev().find(divides).unwrap_or(positions);
    let sums = reduce::sum_blocks(rec, rows, chunk, None);
    Rows::all(sums, channels, positions / chunk)
}

/// Gradient of a bias: the sum of [`position_sums`], weighted by example if `weights` are given.
pub fn gradient(rec: &mut Recorder, sums: Rows, weights: Option<TensorId>, out: View) {
    reduce::sum_rows(rec, sums, weights, out);
}

/// ⟨∂f_i/∂bias, G⟩ for each example, from [`position_sums`], into `out` `[n]`.
pub fn similarity(rec: &mut Recorder, sums: Rows, clean_gradient: View, out: View) {
    reduce::dot_rows(rec, sums, clean_gradient, out);
}
