//! Batch normalisation (Ioffe and Szegedy, 2015) and group normalisation (Wu and He, 2018), with an
//! affine map and a ReLU behind them.
//!
//! The normalised value is `x̂ = (x − mean) · rstd`, and its Jacobian over one normalisation set of
//! N elements, `rstd · (I − 11ᵀ/N − x̂x̂ᵀ/N)`, is symmetric. So the tangent and the backward pass
//! are the same expression: both subtract the [`projections`] on `1` and on `x̂`.
//!
//! # Panics
//!
//! Besides slices of the wrong length, on groups that do not divide the channels.

use super::{check_len, example_weight};
use crate::ops::NormKind;

/// An activation `[n, positions, channels]` and how it is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NormShape {
    /// Which elements share a mean and a variance.
    pub kind: NormKind,
    /// Examples.
    pub n: usize,
    /// Pixels of one example.
    pub positions: usize,
    /// Channels.
    pub channels: usize,
}

impl NormShape {
    /// Elements of the activation.
    pub fn elements(&self) -> usize {
        self.n * self.positions * self.channels
    }

    /// How many normalisation sets there are: `channels` for `Batch` and `Fixed`, `n · groups` for
    /// `Group`.
    pub fn sets(&self) -> usize {
        match self.kind {
            NormKind::Batch | NormKind::Fixed => self.channels,
            NormKind::Group { groups } => self.n * groups,
        }
    }

    /// Elements of one normalisation set.
    pub fn set_len(&self) -> usize {
        self.elements().checked_div(self.sets()).unwrap_or(0)
    }

    /// The normalisation set of channel `c` of example `i`.
    pub fn set(&self, i: usize, c: usize) -> usize {
        match self.kind {
            NormKind::Batch | NormKind::Fixed => c,
            NormKind::Group { groups } => i * groups + c * groups / self.channels,
        }
    }

    /// `(element, example, channel)` of every element.
    fn iter(self) -> impl Iterator<Item = (usize, usize, usize)> {
        let example_len = self.positions * self.channels;
        (0..self.elements()).map(move |at| (at, at / example_len, at % self.channels))
    }

    #[track_caller]
    fn check_input(&self, x: &[f64]) {
        if let NormKind::Group { groups } = self.kind {
            assert!(
                self.channels.checked_rem(groups) == Some(0),
                "{} channels do not fall into {groups} equal groups",
                self.channels
            );
        }
        check_len("x", x, self.elements());
    }

    #[track_caller]
    fn check(&self, x: &[f64], statistics: &[(f64, f64)]) {
        self.check_input(x);
        check_len("statistics", statistics, self.sets());
    }
}

/// What follows the normalisation: `y = scale · x̂ + shift`, then a ReLU if asked for.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// `[channels]`, all ones where `None` (the official CIFAR code trains none).
    pub scale: Option<&'a [f64]>,
    /// `[channels]`.
    pub shift: &'a [f64],
    /// Whether a ReLU follows.
    pub relu: bool,
}

impl Affine<'_> {
    fn scale(&self, c: usize) -> f64 {
        self.scale.map_or(1.0, |scale| scale[c])
    }

    fn apply(&self, x_hat: f64, c: usize) -> f64 {
        self.scale(c) * x_hat + self.shift[c]
    }

    /// Whether the ReLU lets a derivative through, by the sign of the primal output. Behind a NaN
    /// it does, as in PyTorch.
    fn passes(&self, x_hat: f64, c: usize) -> bool {
        let y = self.apply(x_hat, c);
        !self.relu || y > 0.0 || y.is_nan()
    }

    #[track_caller]
    fn check(&self, channels: usize) {
        check_len("shift", self.shift, channels);
        if let Some(scale) = self.scale {
            check_len("scale", scale, channels);
        }
    }
}

/// `(mean, variance)` of every normalisation set, the variance biased (divided by the
/// set's length).
///
/// `x` is `[n, positions, channels]`. Returns `[sets]`.
pub fn moments(shape: &NormShape, x: &[f64]) -> Vec<(f64, f64)> {
    shape.check_input(x);
    let count = shape.set_len() as f64;
    let mut moments = vec![(0.0, 0.0); shape.sets()];
    for (at, i, c) in shape.iter() {
        moments[shape.set(i, c)].0 += x[at] / count;
    }
    for (at, i, c) in shape.iter() {
        let (mean, variance) = &mut moments[shape.set(i, c)];
        *variance += (x[at] - *mean) * (x[at] - *mean) / count;
    }
    moments
}

/// `(mean, rstd)` of every normalisation set, with `rstd = 1 / sqrt(variance + eps)`.
///
/// `x` is `[n, positions, channels]`. Returns `[sets]`: `[channels]` for `Batch`, `[n, groups]` for
/// `Group`.
pub fn statistics(shape: &NormShape, x: &[f64], eps: f64) -> Vec<(f64, f64)> {
    moments(shape, x)
        .into_iter()
        .map(|(mean, variance)| (mean, 1.0 / (variance + eps).sqrt()))
        .collect()
}

/// `(mean(v), mean(v · x̂))` over every normalisation set: what the Jacobian takes out of `v`.
///
/// `x` and `v` are `[n, positions, channels]`, `statistics` is `[sets]`. Returns `[sets]`.
pub fn projections(
    shape: &NormShape,
    x: &[f64],
    statistics: &[(f64, f64)],
    v: &[f64],
) -> Vec<(f64, f64)> {
    shape.check(x, statistics);
    check_len("v", v, shape.elements());
    let count = shape.set_len() as f64;
    let mut projections = vec![(0.0, 0.0); shape.sets()];
    for (at, i, c) in shape.iter() {
        let set = shape.set(i, c);
        let (mean, rstd) = statistics[set];
        let x_hat = (x[at] - mean) * rstd;
        projections[set].0 += v[at] / count;
        projections[set].1 += v[at] * x_hat / count;
    }
    projections
}

/// The Jacobian of `x̂` with respect to `x` applied to `v`, forwards or backwards alike. Fixed
/// statistics are constants, of which nothing is taken out.
fn jacobian(shape: &NormShape, x: &[f64], statistics: &[(f64, f64)], v: &[f64]) -> Vec<f64> {
    let projections = match shape.kind {
        NormKind::Fixed => vec![(0.0, 0.0); shape.sets()],
        _ => projections(shape, x, statistics, v),
    };
    let mut out = vec![0.0; shape.elements()];
    for (at, i, c) in shape.iter() {
        let set = shape.set(i, c);
        let (mean, rstd) = statistics[set];
        let x_hat = (x[at] - mean) * rstd;
        let (on_one, on_x_hat) = projections[set];
        out[at] = rstd * (v[at] - on_one - x_hat * on_x_hat);
    }
    out
}

/// `relu(scale · x̂ + shift)`: `x` is `[n, positions, channels]`, `statistics` `[sets]` its own.
pub fn forward(
    shape: &NormShape,
    x: &[f64],
    statistics: &[(f64, f64)],
    affine: Affine<'_>,
) -> Vec<f64> {
    shape.check(x, statistics);
    affine.check(shape.channels);
    let mut y = vec![0.0; shape.elements()];
    for (at, i, c) in shape.iter() {
        let (mean, rstd) = statistics[shape.set(i, c)];
        let x_hat = (x[at] - mean) * rstd;
        if affine.passes(x_hat, c) {
            y[at] = affine.apply(x_hat, c);
        }
    }
    y
}

/// The tangent of [`forward`] along `dx`, `dscale` and `dshift`, those of the mean and the variance
/// included.
///
/// `x`, `dx` are `[n, positions, channels]`; `dscale`, `dshift` are `[channels]`, and `dscale` is
/// zero where `None`.
pub fn tangent(
    shape: &NormShape,
    x: &[f64],
    dx: &[f64],
    statistics: &[(f64, f64)],
    affine: Affine<'_>,
    dscale: Option<&[f64]>,
    dshift: &[f64],
) -> Vec<f64> {
    affine.check(shape.channels);
    check_len("dshift", dshift, shape.channels);
    if let Some(dscale) = dscale {
        check_len("dscale", dscale, shape.channels);
    }
    let dx_hat = jacobian(shape, x, statistics, dx);
    let mut dy = vec![0.0; shape.elements()];
    for (at, i, c) in shape.iter() {
        let (mean, rstd) = statistics[shape.set(i, c)];
        let x_hat = (x[at] - mean) * rstd;
        let dscale = dscale.map_or(0.0, |dscale| dscale[c]);
        if affine.passes(x_hat, c) {
            dy[at] = affine.scale(c) * dx_hat[at] + dscale * x_hat + dshift[c];
        }
    }
    dy
}

/// The gradient with respect to `x`, from the gradient `dy` of the output (behind the ReLU).
///
/// Everything is `[n, positions, channels]`.
pub fn backward(
    shape: &NormShape,
    x: &[f64],
    dy: &[f64],
    statistics: &[(f64, f64)],
    affine: Affine<'_>,
) -> Vec<f64> {
    shape.check(x, statistics);
    check_len("dy", dy, shape.elements());
    affine.check(shape.channels);
    let mut dx_hat = vec![0.0; shape.elements()];
    for (at, i, c) in shape.iter() {
        let (mean, rstd) = statistics[shape.set(i, c)];
        let x_hat = (x[at] - mean) * rstd;
        if affine.passes(x_hat, c) {
            dx_hat[at] = affine.scale(c) * dy[at];
        }
    }
    jacobian(shape, x, statistics, &dx_hat)
}

/// The gradients `(dscale, dshift)`, each `[channels]`, of `Σ_i example_weights_i · f_i`.
///
/// `x`, `dy` are `[n, positions, channels]`; `example_weights` is `[n]`, all ones where `None`.
/// Examples of weight 0 are skipped, whatever `dy` holds for them. `dscale` is computed for
/// `scale: None` too.
pub fn parameter_gradient(
    shape: &NormShape,
    x: &[f64],
    dy: &[f64],
    statistics: &[(f64, f64)],
    affine: Affine<'_>,
    example_weights: Option<&[f64]>,
) -> (Vec<f64>, Vec<f64>) {
    shape.check(x, statistics);
    check_len("dy", dy, shape.elements());
    affine.check(shape.channels);
    if let Some(weights) = example_weights {
        check_len("example_weights", weights, shape.n);
    }
    let mut dscale = vec![0.0; shape.channels];
    let mut dshift = vec![0.0; shape.channels];
    for (at, i, c) in shape.iter() {
        let (mean, rstd) = statistics[shape.set(i, c)];
        let x_hat = (x[at] - mean) * rstd;
        let weight = example_weight(example_weights, i);
        if weight != 0.0 && affine.passes(x_hat, c) {
            dscale[c] += weight * dy[at] * x_hat;
            dshift[c] += weight * dy[at];
        }
    }
    (dscale, dshift)
}

/// `u_i = ⟨∂f_i/∂(scale, shift), (g_scale, g_shift)⟩` from row i of `dy`.
///
/// `x`, `dy` are `[n, positions, channels]`; `g_scale`, `g_shift` are `[channels]`, and `g_scale`
/// is zero where `None`. Returns `[n]`. With [`NormKind::Batch`] it is an approximation: row i of
/// `dy` is the gradient of the summed loss, in which examples are mixed, and not of `f_i`.
pub fn similarity(
    shape: &NormShape,
    x: &[f64],
    dy: &[f64],
    statistics: &[(f64, f64)],
    affine: Affine<'_>,
    g_scale: Option<&[f64]>,
    g_shift: &[f64],
) -> Vec<f64> {
    shape.check(x, statistics);
    check_len("dy", dy, shape.elements());
    affine.check(shape.channels);
    check_len("g_shift", g_shift, shape.channels);
    if let Some(g_scale) = g_scale {
        check_len("g_scale", g_scale, shape.channels);
    }
    let mut u = vec![0.0; shape.n];
    for (at, i, c) in shape.iter() {
        let (mean, rstd) = statistics[shape.set(i, c)];
        let x_hat = (x[at] - mean) * rstd;
        let along_scale = g_scale.map_or(0.0, |g_scale| g_scale[c] * x_hat);
        if affine.passes(x_hat, c) {
            u[i] += dy[at] * (along_scale + g_shift[c]);
        }
    }
    u
}

/// Batch normalisation with running statistics, as in evaluation: nothing mixes examples.
///
/// `x` is `[n, positions, channels]`; `mean`, `variance` are `[channels]`.
#[allow(clippy::too_many_arguments, reason = "a twin takes its shape and its slices one by one")]
pub fn forward_running(
    n: usize,
    positions: usize,
    channels: usize,
    x: &[f64],
    mean: &[f64],
    variance: &[f64],
    eps: f64,
    affine: Affine<'_>,
) -> Vec<f64> {
    check_len("mean", mean, channels);
    check_len("variance", variance, channels);
    let shape = NormShape { kind: NormKind::Batch, n, positions, channels };
    let statistics: Vec<_> =
        (0..channels).map(|c| (mean[c], 1.0 / (variance[c] + eps).sqrt())).collect();
    forward(&shape, x, &statistics, affine)
}

/// Moves the running statistics towards those of a batch,
/// `running ← (1 − momentum) · running + momentum · batch`: PyTorch's `momentum`, one minus
/// TensorFlow's `decay`.
///
/// `running_mean`, `running_variance` are `[channels]`; `batch` holds the batch's [`moments`]
/// `[channels]` over `count` elements a channel. `unbiased` stores the variance times
/// `count / (count − 1)`, as PyTorch (and TensorFlow's fused kernel) does; a count below 2 leaves
/// it as it is. A channel whose variance is not finite moves nothing: it would stay so for ever.
pub fn update_running(
    running_mean: &mut [f64],
    running_variance: &mut [f64],
    momentum: f64,
    batch: &[(f64, f64)],
    count: usize,
    unbiased: bool,
) {
    check_len("running_variance", running_variance, running_mean.len());
    check_len("batch", batch, running_mean.len());
    let correction = if unbiased && count > 1 { count as f64 / (count - 1) as f64 } else { 1.0 };
    for c in 0..batch.len() {
        let (mean, variance) = batch[c];
        if !variance.is_finite() {
            continue;
        }
        running_mean[c] = (1.0 - momentum) * running_mean[c] + momentum * mean;
        running_variance[c] =
            (1.0 - momentum) * running_variance[c] + momentum * correction * variance;
    }
}
