//! Softmax cross-entropy of scores against labels, with its gradient and its tangent.

use super::parts::{FINITE, GRID, wgsl};
use super::{View, per_element};
use crate::gpu::{Access, ElementType, Kernel, Recorder, Shader, TensorId};

/// `shaders/softmax_cross_entropy.wgsl`
static SHADER: Shader =
    Shader::new("softmax_cross_entropy", &[GRID, FINITE, wgsl!("softmax_cross_entropy")]);

fn kernel(entry: &'static str, classes: usize) -> Kernel {
    Kernel::new(&SHADER, entry).size("CLASSES", classes)
}

/// What [`forward`] gives.
#[derive(Clone, Copy, Debug)]
pub struct Losses {
    /// softmax − onehot, `[n, classes]`: the gradient of each loss by its scores.
    pub residual: TensorId,
    /// −log softmax of the label, `[n]`.
    pub losses: TensorId,
    /// The class with the largest score, `[n]`; the first of equals.
    pub predictions: TensorId,
}

impl Losses {
    /// Tensors for the losses of `n` examples.
    pub fn transient(rec: &mut Recorder, n: usize, classes: usize) -> Self {
        Self {
            residual: rec.transient("residual", n * classes),
            losses: rec.transient("losses", n),
            predictions: rec.transient_of("predictions", ElementType::U32, n),
        }
    }
}

/// Losses of `scores` `[n, classes]` against `labels` `[n]`. An example whose label is none of the
/// classes does not count: its loss and its residual are 0.
pub fn forward(rec: &mut Recorder, classes: usize, scores: TensorId, labels: TensorId) -> Losses {
    let n = rec.len(scores) / classes;
    let Losses { residual, losses, predictions } = Losses::transient(rec, n, classes);
    let bindings = vec![
        rec.read(scores),
        rec.read(labels),
        rec.write(residual),
        rec.write(losses),
        rec.write(predictions),
    ];
    rec.dispatch(kernel("forward", classes), bindings, per_element(n), 5 * (n * classes) as u64);
    Losses { residual, losses, predictions }
}

/// Turns what [`forward`] gave for these scores and labels into losses against the target
/// (1 − `smoothing`) · onehot + `smoothing` / classes, and their residual: PyTorch's
/// `label_smoothing` (Szegedy et al. 2016, section 7).
pub fn smooth_target(
    rec: &mut Recorder,
    classes: usize,
    (scores, labels): (TensorId, TensorId),
    losses: &Losses,
    smoothing: f64,
) {
    let bindings = vec![
        rec.read(scores),
        rec.read(labels),
        rec.whole(losses.residual, Access::ReadWrite),
        rec.whole(losses.losses, Access::ReadWrite),
    ];
    let kernel = kernel("smooth_target", classes).constant("SMOOTHING", smoothing);
    let len = rec.len(scores);
    rec.dispatch(kernel, bindings, per_element(len / classes), 4 * len as u64);
}

/// Gradient of Σ weights\[i\] · loss\[i\] by the scores.
pub fn backward(
    rec: &mut Recorder,
    classes: usize,
    residual: TensorId,
    weights: TensorId,
) -> TensorId {
    let len = rec.len(residual);
    let gradient = rec.transient("score gradient", len);
    let bindings = vec![rec.read(residual), rec.read(weights), rec.write(gradient)];
    rec.dispatch(kernel("backward", classes), bindings, per_element(len), len as u64);
    gradient
}

/// Tangent of each loss for tangents of the scores: ⟨softmax − onehot, tangent⟩, into `out` `[n]`.
pub fn tangent(
    rec: &mut Recorder,
    classes: usize,
    residual: TensorId,
    score_tangents: TensorId,
    out: View,
) {
    let bindings = vec![rec.read(residual), rec.read(score_tangents), out.write()];
    let flops = 2 * rec.len(residual) as u64;
    rec.dispatch(kernel("tangent", classes), bindings, per_element(out.len), flops);
}
