//! The normalisation twin against finite differences, with and without scale and ReLU.

use crate::common::differences::{assert_derivative, assert_equal, central_difference, dot, moved};
use crate::common::values::values;
use l2rw::ops::NormKind;
use l2rw::reference::norm::{self, Affine, NormShape};
use l2rw::reference::relu;

const N: usize = 3;
const POSITIONS: usize = 5;
const CHANNELS: usize = 6;
const EPS: f64 = 1e-3;

struct Case {
    name: String,
    shape: NormShape,
    relu: bool,
    x: Vec<f64>,
    dx: Vec<f64>,
    dy: Vec<f64>,
    scale: Option<Vec<f64>>,
    dscale: Option<Vec<f64>>,
    shift: Vec<f64>,
    dshift: Vec<f64>,
}

impl Case {
    fn affine(&self) -> Affine<'_> {
        Affine { scale: self.scale.as_deref(), shift: &self.shift, relu: self.relu }
    }

    fn statistics(&self) -> Vec<(f64, f64)> {
        norm::statistics(&self.shape, &self.x, EPS)
    }

    /// The output with the input and the parameters moved `t` along the tangents.
    fn output(&self, t: f64) -> Vec<f64> {
        let x = moved(&self.x, t, &self.dx);
        let scale = self
            .scale
            .as_ref()
            .zip(self.dscale.as_ref())
            .map(|(scale, dscale)| moved(scale, t, dscale));
        let shift = moved(&self.shift, t, &self.dshift);
        let affine = Affine { scale: scale.as_deref(), shift: &shift, relu: self.relu };
        let statistics = match self.shape.kind {
            NormKind::Fixed => self.statistics(),
            _ => norm::statistics(&self.shape, &x, EPS),
        };
        norm::forward(&self.shape, &x, &statistics, affine)
    }

    fn tangent(&self) -> Vec<f64> {
        norm::tangent(
            &self.shape,
            &self.x,
            &self.dx,
            &self.statistics(),
            self.affine(),
            self.dscale.as_deref(),
            &self.dshift,
        )
    }

    fn keeps_clear_of_the_kink(&self) -> bool {
        let affine = Affine { relu: false, ..self.affine() };
        let before_relu = norm::forward(&self.shape, &self.x, &self.statistics(), affine);
        before_relu.iter().all(|v| v.abs() > 1e-4)
    }
}

fn cases() -> Vec<Case> {
    let kinds = [
        NormKind::Batch,
        NormKind::Fixed,
        NormKind::Group { groups: 1 },
        NormKind::Group { groups: 3 },
        NormKind::Group { groups: CHANNELS },
    ];
    let mut cases = Vec::new();
    for kind in kinds {
        for scaled in [false, true] {
            for relu in [false, true] {
                let shape = NormShape { kind, n: N, positions: POSITIONS, channels: CHANNELS };
                let len = shape.elements();
                let case = Case {
                    name: format!("{kind:?}, scale {scaled}, relu {relu}"),
                    shape,
                    relu,
                    // An offset, so that a forgotten mean shows.
                    x: values(1, len).iter().map(|v| 2.0 * v + 0.7).collect(),
                    dx: values(2, len),
                    dy: values(3, len),
                    scale: scaled.then(|| values(4, CHANNELS)),
                    dscale: scaled.then(|| values(5, CHANNELS)),
                    shift: values(6, CHANNELS),
                    dshift: values(7, CHANNELS),
                };
                assert!(case.keeps_clear_of_the_kink(), "{}: choose another seed", case.name);
                cases.push(case);
            }
        }
    }
    cases
}

#[test]
fn every_set_is_normalised_to_mean_zero_and_variance_one() {
    for kind in [NormKind::Batch, NormKind::Group { groups: 3 }] {
        let shape = NormShape { kind, n: N, positions: POSITIONS, channels: CHANNELS };
        let x: Vec<f64> = values(1, shape.elements()).iter().map(|v| 3.0 * v - 2.0).collect();
        let affine = Affine { scale: None, shift: &[0.0; CHANNELS], relu: false };
        let y = norm::forward(&shape, &x, &norm::statistics(&shape, &x, 0.0), affine);
        for (mean, variance) in norm::moments(&shape, &y) {
            assert_equal("moments", &[mean, variance], &[0.0, 1.0]);
        }
    }
}

#[test]
fn batch_statistics_are_those_of_a_channel_over_examples_and_positions() {
    let shape = NormShape { kind: NormKind::Batch, n: 2, positions: 2, channels: 2 };
    let x = [1.0, 0.0, 2.0, 4.0, 3.0, 0.0, 6.0, 4.0];
    assert_equal("moments", &pairs(&norm::moments(&shape, &x)), &[3.0, 3.5, 2.0, 4.0]);
    let shape = NormShape { kind: NormKind::Group { groups: 1 }, ..shape };
    assert_equal("moments", &pairs(&norm::moments(&shape, &x)), &[1.75, 2.1875, 3.25, 4.6875]);
    let shape = NormShape { kind: NormKind::Group { groups: 2 }, ..shape };
    let expected = [1.5, 0.25, 2.0, 4.0, 4.5, 2.25, 2.0, 4.0];
    assert_equal("moments", &pairs(&norm::moments(&shape, &x)), &expected);
}

fn pairs(moments: &[(f64, f64)]) -> Vec<f64> {
    moments.iter().flat_map(|&(mean, variance)| [mean, variance]).collect()
}

#[test]
fn the_tangent_is_the_directional_derivative_through_the_statistics() {
    for case in cases() {
        assert_derivative(&case.name, &case.tangent(), &central_difference(|t| case.output(t)));
    }
}

#[test]
fn the_backward_pass_is_adjoint_to_the_tangent() {
    for case in cases() {
        let statistics = case.statistics();
        let dx = norm::backward(&case.shape, &case.x, &case.dy, &statistics, case.affine());
        let (dscale, dshift) = norm::parameter_gradient(
            &case.shape,
            &case.x,
            &case.dy,
            &statistics,
            case.affine(),
            None,
        );
        let through_scale = case.dscale.as_ref().map_or(0.0, |v| dot(v, &dscale));
        let backwards = dot(&dx, &case.dx) + through_scale + dot(&dshift, &case.dshift);
        assert_equal(&case.name, &[dot(&case.tangent(), &case.dy)], &[backwards]);
    }
}

#[test]
fn the_similarity_of_an_example_is_that_of_its_own_parameter_gradient() {
    for case in cases() {
        let statistics = case.statistics();
        let u = norm::similarity(
            &case.shape,
            &case.x,
            &case.dy,
            &statistics,
            case.affine(),
            case.dscale.as_deref(),
            &case.dshift,
        );
        for i in 0..N {
            let mut weights = [0.0; N];
            weights[i] = 2.0;
            let (dscale, dshift) = norm::parameter_gradient(
                &case.shape,
                &case.x,
                &case.dy,
                &statistics,
                case.affine(),
                Some(&weights),
            );
            let through_scale = case.dscale.as_ref().map_or(0.0, |v| dot(v, &dscale));
            let expected = (through_scale + dot(&dshift, &case.dshift)) / 2.0;
            assert_equal(&case.name, &[u[i]], &[expected]);
        }
    }
}

#[test]
fn running_statistics_normalise_as_the_batch_whose_moments_they_are() {
    let shape = NormShape { kind: NormKind::Batch, n: N, positions: POSITIONS, channels: CHANNELS };
    let (x, scale, shift) = (values(1, shape.elements()), values(2, CHANNELS), values(3, CHANNELS));
    let affine = Affine { scale: Some(&scale), shift: &shift, relu: true };
    let (mean, variance): (Vec<_>, Vec<_>) = norm::moments(&shape, &x).into_iter().unzip();
    assert_equal(
        "y",
        &norm::forward_running(N, POSITIONS, CHANNELS, &x, &mean, &variance, EPS, affine),
        &norm::forward(&shape, &x, &norm::statistics(&shape, &x, EPS), affine),
    );
}

#[test]
fn running_statistics_move_by_the_momentum() {
    for (unbiased, count, expected) in [(false, 5, 1.3), (true, 5, 1.4), (true, 1, 1.3)] {
        let (mut mean, mut variance) = ([1.0], [1.0]);
        norm::update_running(&mut mean, &mut variance, 0.1, &[(3.0, 4.0)], count, unbiased);
        assert_equal("running", &[mean[0], variance[0]], &[1.2, expected]);
    }
}

#[test]
fn a_group_is_a_run_of_neighbouring_channels() {
    let shape = NormShape { kind: NormKind::Group { groups: 2 }, n: 2, positions: 1, channels: 4 };
    let moments = norm::moments(&shape, &[0.0, 2.0, 10.0, 14.0, 1.0, 1.0, 5.0, 9.0]);
    assert_equal("moments", &pairs(&moments), &[1.0, 1.0, 12.0, 4.0, 1.0, 0.0, 7.0, 4.0]);
}

#[test]
fn epsilon_is_added_to_the_variance_under_the_root() {
    let shape = NormShape { kind: NormKind::Batch, n: 2, positions: 1, channels: 1 };
    let statistics = norm::statistics(&shape, &[2.0, 6.0], 12.0);
    assert_equal("statistics", &pairs(&statistics), &[4.0, 0.25]);
}

#[test]
fn the_relu_cuts_the_output_and_not_the_normalised_value() {
    for case in cases() {
        let affine = Affine { relu: false, ..case.affine() };
        let y = norm::forward(&case.shape, &case.x, &case.statistics(), affine);
        let affine = Affine { relu: true, ..affine };
        let rectified = norm::forward(&case.shape, &case.x, &case.statistics(), affine);
        assert_equal(&case.name, &rectified, &relu::forward(&y));
    }
}
