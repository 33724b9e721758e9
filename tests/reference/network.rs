//! A whole network made of twins: convolution, normalisation with ReLU, global average, linear
//! layer, cross-entropy. Both routes to u against finite differences of what the paper defines.

use crate::common::differences::{
    assert_derivative, assert_equal, central_difference, dot, moved, numerical_gradient,
};
use crate::common::values::values;
use l2rw::ops::{NormKind, Window};
use l2rw::reference::norm::{self, Affine, NormShape};
use l2rw::reference::{bias, conv, pool, softmax_cross_entropy as loss};

const N: usize = 5;
const M: usize = 4;
const CHANNELS: usize = 4;
const CLASSES: usize = 3;
const EPS: f64 = 1e-3;
const BATCH: NormKind = NormKind::Batch;
const GROUP: NormKind = NormKind::Group { groups: 2 };

fn first() -> Window {
    Window::same(5, 4, 2, CHANNELS, 3, 2)
}

fn last() -> Window {
    Window::linear(CHANNELS, CLASSES)
}

/// Parameters, or anything of their shape: G, a gradient, a tangent.
struct Parameters<'a> {
    conv: &'a [f64],
    scale: &'a [f64],
    shift: &'a [f64],
    linear: &'a [f64],
    bias: &'a [f64],
}

fn parameter_len() -> usize {
    first().weight_len() + 2 * CHANNELS + last().weight_len() + CLASSES
}

fn split(theta: &[f64]) -> Parameters<'_> {
    let (conv, rest) = theta.split_at(first().weight_len());
    let (scale, rest) = rest.split_at(CHANNELS);
    let (shift, rest) = rest.split_at(CHANNELS);
    let (linear, bias) = rest.split_at(last().weight_len());
    Parameters { conv, scale, shift, linear, bias }
}

struct Batch {
    n: usize,
    x: Vec<f64>,
    labels: Vec<u32>,
}

fn batch(seed: u32, n: usize) -> Batch {
    Batch {
        n,
        x: values(seed, n * first().input_len()),
        labels: (0..n as u32).map(|i| (i * i + seed) % CLASSES as u32).collect(),
    }
}

/// A forward pass with everything the other passes need of it.
struct Pass<'a> {
    batch: &'a Batch,
    theta: Parameters<'a>,
    shape: NormShape,
    convolved: Vec<f64>,
    statistics: Vec<(f64, f64)>,
    features: Vec<f64>,
    logits: Vec<f64>,
}

impl<'a> Pass<'a> {
    fn forward(kind: NormKind, batch: &'a Batch, theta: &'a [f64]) -> Self {
        let theta = split(theta);
        let (n, positions) = (batch.n, first().out_positions());
        let shape = NormShape { kind, n, positions, channels: CHANNELS };
        let convolved = conv::forward(&first(), n, &batch.x, theta.conv);
        let statistics = norm::statistics(&shape, &convolved, EPS);
        let activated = norm::forward(&shape, &convolved, &statistics, affine(&theta));
        let features = pool::global_average_forward(n, positions, CHANNELS, &activated);
        let logits = conv::forward(&last(), n, &features, theta.linear);
        let logits = bias::add(n, 1, CLASSES, &logits, theta.bias);
        Self { batch, theta, shape, convolved, statistics, features, logits }
    }

    fn losses(&self) -> Vec<f64> {
        loss::losses(self.batch.n, CLASSES, &self.logits, &self.batch.labels)
    }

    /// The gradients of `Σ weights_i f_i` at the logits, behind the ReLU and behind the
    /// convolution.
    fn output_gradients(&self, weights: &[f64]) -> [Vec<f64>; 3] {
        let (n, positions) = (self.batch.n, self.shape.positions);
        let residual = loss::residual(n, CLASSES, &self.logits, &self.batch.labels);
        let at_logits = loss::gradient(n, CLASSES, &residual, weights);
        let at_features = conv::input_gradient(&last(), n, &at_logits, self.theta.linear);
        let at_relu = pool::global_average_backward(n, positions, CHANNELS, &at_features);
        let affine = affine(&self.theta);
        let at_conv =
            norm::backward(&self.shape, &self.convolved, &at_relu, &self.statistics, affine);
        [at_logits, at_relu, at_conv]
    }

    /// `∇θ Σ weights_i f_i`.
    fn gradient(&self, weights: &[f64]) -> Vec<f64> {
        self.parameter_gradient(&self.output_gradients(weights), None)
    }

    fn parameter_gradient(
        &self,
        [at_logits, at_relu, at_conv]: &[Vec<f64>; 3],
        weights: Option<&[f64]>,
    ) -> Vec<f64> {
        let n = self.batch.n;
        let affine = affine(&self.theta);
        let (dscale, dshift) = norm::parameter_gradient(
            &self.shape,
            &self.convolved,
            at_relu,
            &self.statistics,
            affine,
            weights,
        );
        [
            conv::weight_gradient(&first(), n, &self.batch.x, at_conv, weights),
            dscale,
            dshift,
            conv::weight_gradient(&last(), n, &self.features, at_logits, weights),
            bias::gradient(n, 1, CLASSES, at_logits, weights),
        ]
        .concat()
    }

    /// u by the tangent route.
    fn tangent(&self, g: &[f64]) -> Vec<f64> {
        let g = split(g);
        let (n, positions) = (self.batch.n, self.shape.positions);
        let (_, convolved) = conv::dual(&first(), n, &self.batch.x, None, self.theta.conv, g.conv);
        let activated = norm::tangent(
            &self.shape,
            &self.convolved,
            &convolved,
            &self.statistics,
            affine(&self.theta),
            Some(g.scale),
            g.shift,
        );
        let features = pool::global_average_forward(n, positions, CHANNELS, &activated);
        let (_, logits) =
            conv::dual(&last(), n, &self.features, Some(&features), self.theta.linear, g.linear);
        let logits = bias::add(n, 1, CLASSES, &logits, g.bias);
        let residual = loss::residual(n, CLASSES, &self.logits, &self.batch.labels);
        loss::tangent(n, CLASSES, &residual, &logits)
    }

    /// u by the per-layer route, from one unweighted backward pass.
    fn similarity(&self, g: &[f64]) -> Vec<f64> {
        let g = split(g);
        let n = self.batch.n;
        let [at_logits, at_relu, at_conv] = self.output_gradients(&vec![1.0; n]);
        let layers = [
            conv::similarity(&first(), n, &self.batch.x, &at_conv, g.conv),
            norm::similarity(
                &self.shape,
                &self.convolved,
                &at_relu,
                &self.statistics,
                affine(&self.theta),
                Some(g.scale),
                g.shift,
            ),
            conv::similarity(&last(), n, &self.features, &at_logits, g.linear),
            bias::similarity(n, 1, CLASSES, &at_logits, g.bias),
        ];
        (0..n).map(|i| layers.iter().map(|u| u[i]).sum()).collect()
    }

    fn keeps_clear_of_the_kink(&self) -> bool {
        let affine = Affine { relu: false, ..affine(&self.theta) };
        let before_relu = norm::forward(&self.shape, &self.convolved, &self.statistics, affine);
        before_relu.iter().all(|v| v.abs() > 1e-4)
    }
}

fn affine<'a>(theta: &Parameters<'a>) -> Affine<'a> {
    Affine { scale: Some(theta.scale), shift: theta.shift, relu: true }
}

struct Setting {
    kind: NormKind,
    theta: Vec<f64>,
    train: Batch,
    clean: Batch,
    g: Vec<f64>,
}

impl Setting {
    fn new(kind: NormKind) -> Self {
        let (theta, train, clean) = (values(1, parameter_len()), batch(2, N), batch(3, M));
        let pass = Pass::forward(kind, &clean, &theta);
        assert!(pass.keeps_clear_of_the_kink(), "choose another seed");
        assert!(
            Pass::forward(kind, &train, &theta).keeps_clear_of_the_kink(),
            "choose another seed"
        );
        let g = pass.gradient(&[1.0 / M as f64; M]);
        Self { kind, theta, train, clean, g }
    }

    fn train_pass(&self) -> Pass<'_> {
        Pass::forward(self.kind, &self.train, &self.theta)
    }

    fn clean_loss(&self, theta: &[f64]) -> f64 {
        Pass::forward(self.kind, &self.clean, theta).losses().iter().sum::<f64>() / M as f64
    }
}

#[test]
fn the_backward_pass_is_the_gradient_of_the_clean_loss() {
    for kind in [BATCH, GROUP] {
        let setting = Setting::new(kind);
        let numerical = numerical_gradient(&setting.theta, |theta| setting.clean_loss(theta));
        assert_derivative(&format!("{kind:?}"), &setting.g, &numerical);
    }
}

#[test]
fn the_tangent_route_is_the_derivative_of_every_loss_along_the_clean_gradient() {
    for kind in [BATCH, GROUP] {
        let setting = Setting::new(kind);
        let difference = central_difference(|t| {
            Pass::forward(kind, &setting.train, &moved(&setting.theta, t, &setting.g)).losses()
        });
        assert_derivative(
            &format!("{kind:?}"),
            &setting.train_pass().tangent(&setting.g),
            &difference,
        );
    }
}

#[test]
fn the_tangent_route_is_minus_the_gradient_of_the_clean_loss_behind_the_virtual_step() {
    for kind in [BATCH, GROUP] {
        let setting = Setting::new(kind);
        let pass = setting.train_pass();
        let numerical = numerical_gradient(&[0.0; N], |epsilon| {
            setting.clean_loss(&moved(&setting.theta, -1.0, &pass.gradient(epsilon)))
        });
        let u: Vec<f64> = numerical.iter().map(|d| -d).collect();
        assert_derivative(&format!("{kind:?}"), &pass.tangent(&setting.g), &u);
    }
}

#[test]
fn the_routes_agree_where_no_layer_mixes_examples() {
    let setting = Setting::new(GROUP);
    let pass = setting.train_pass();
    assert_equal("u", &pass.similarity(&setting.g), &pass.tangent(&setting.g));
}

#[test]
fn with_batch_statistics_the_routes_agree_in_the_sum_alone() {
    let setting = Setting::new(BATCH);
    let pass = setting.train_pass();
    let (layers, tangent) = (pass.similarity(&setting.g), pass.tangent(&setting.g));
    assert_equal("Σ u", &[layers.iter().sum()], &[tangent.iter().sum()]);
    assert!(layers.iter().zip(&tangent).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn an_unweighted_backward_pass_serves_the_weighted_gradient_where_no_layer_mixes_examples() {
    let setting = Setting::new(GROUP);
    let pass = setting.train_pass();
    let weights = [0.5, 0.0, 0.2, 0.3, 0.0];
    let unweighted = pass.output_gradients(&[1.0; N]);
    assert_equal(
        "gradient",
        &pass.parameter_gradient(&unweighted, Some(&weights)),
        &pass.gradient(&weights),
    );
}

#[test]
fn the_weighted_sum_of_similarities_is_that_of_the_weighted_gradient() {
    for kind in [BATCH, GROUP] {
        let setting = Setting::new(kind);
        let pass = setting.train_pass();
        let weights = [0.5, 0.0, 0.2, 0.3, 0.0];
        assert_equal(
            &format!("{kind:?}"),
            &[dot(&pass.tangent(&setting.g), &weights)],
            &[dot(&pass.gradient(&weights), &setting.g)],
        );
    }
}
