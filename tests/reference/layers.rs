//! The twins of pooling, shortcut, loss, ReLU and dropout against finite differences.

use crate::common::differences::{
    assert_derivative, assert_equal, central_difference, dot, moved, numerical_gradient,
};
use crate::common::values::values;
use l2rw::ops::Window;
use l2rw::ops::shortcut::Shortcut;
use l2rw::reference::{dropout, gelu, pool, relu, shortcut, softmax_cross_entropy};

const N: usize = 3;

fn pooling_windows() -> Vec<Window> {
    vec![
        Window::same(7, 4, 3, 3, 3, 2),
        Window::same(5, 6, 2, 2, 2, 2),
        Window::same(4, 5, 2, 2, 3, 1),
        Window::padded(7, 6, 3, 3, 3, 2, 1),
        Window::padded(5, 7, 2, 2, 2, 2, 0),
    ]
}

/// A linear forward pass is its own tangent, so the adjoint identity is all there is to ask.
fn assert_adjoint(
    what: &str,
    (x_len, y_len): (usize, usize),
    forward: impl Fn(&[f64]) -> Vec<f64>,
    backward: impl Fn(&[f64]) -> Vec<f64>,
) {
    let (dx, dy) = (values(1, x_len), values(2, y_len));
    let forwards = dot(&forward(&dx), &dy);
    assert_equal(what, &[dot(&backward(&dy), &dx)], &[forwards]);
}

#[test]
fn max_pooling_is_differentiated_at_the_winners() {
    for win in pooling_windows() {
        let (x, dx) = (values(3, N * win.input_len()), values(4, N * win.input_len()));
        let (_, argmax) = pool::max_forward(&win, N, &x);
        let what = format!("{win:?}");
        assert_derivative(
            &what,
            &pool::max_tangent(&win, N, &argmax, &dx),
            &central_difference(|t| pool::max_forward(&win, N, &moved(&x, t, &dx)).0),
        );
        assert_adjoint(
            &what,
            (N * win.input_len(), N * win.output_len()),
            |dx| pool::max_tangent(&win, N, &argmax, dx),
            |dy| pool::max_backward(&win, N, &argmax, dy),
        );
    }
}

#[test]
fn a_constant_image_has_its_constant_as_every_average() {
    for win in pooling_windows() {
        let y = pool::average_forward(&win, N, &vec![1.75; N * win.input_len()]);
        assert_equal(&format!("{win:?}"), &y, &vec![1.75; y.len()]);
    }
    let (positions, channels) = (6, 2);
    let y = pool::global_average_forward(N, positions, channels, &vec![1.75; N * 12]);
    assert_equal("global", &y, &[1.75; N * 2]);
}

#[test]
fn the_averages_are_adjoint_to_their_backward_passes() {
    for win in pooling_windows() {
        assert_adjoint(
            &format!("{win:?}"),
            (N * win.input_len(), N * win.output_len()),
            |x| pool::average_forward(&win, N, x),
            |dy| pool::average_backward(&win, N, dy),
        );
    }
    let (positions, channels) = (5, 4);
    assert_adjoint(
        "global",
        (N * positions * channels, N * channels),
        |x| pool::global_average_forward(N, positions, channels, x),
        |dy| pool::global_average_backward(N, positions, channels, dy),
    );
}

#[test]
fn the_global_average_is_one_window_over_the_image() {
    let win = Window { kernel_h: 3, kernel_w: 5, ..Window::padded(3, 5, 2, 2, 3, 5, 0) };
    let x = values(1, N * win.input_len());
    assert_equal(
        "global",
        &pool::global_average_forward(N, 15, 2, &x),
        &pool::average_forward(&win, N, &x),
    );
}

#[test]
fn the_shortcut_is_adjoint_to_its_backward_pass() {
    for (in_channels, out_channels, stride) in [(3, 8, 2), (4, 4, 1), (2, 3, 3)] {
        let s = Shortcut { height: 5, width: 7, in_channels, out_channels, stride };
        assert_adjoint(
            &format!("{s:?}"),
            (N * s.input_len(), N * s.output_len()),
            |x| shortcut::forward(&s, N, &vec![0.0; N * s.output_len()], x),
            |dy| shortcut::backward(&s, N, dy),
        );
    }
}

#[test]
fn a_shortcut_of_equal_shapes_is_the_identity() {
    let s = Shortcut { height: 3, width: 4, in_channels: 5, out_channels: 5, stride: 1 };
    let (main, x) = (values(1, N * s.output_len()), values(2, N * s.input_len()));
    assert_equal("sum", &shortcut::forward(&s, N, &main, &x), &moved(&main, 1.0, &x));
}

#[test]
fn the_residual_is_the_gradient_of_the_loss() {
    let (classes, labels) = (4, [2, 0, 3]);
    let logits: Vec<f64> = values(1, N * classes).iter().map(|v| 3.0 * v).collect();
    let weights = [0.5, 0.0, 2.0];
    let residual = softmax_cross_entropy::residual(N, classes, &logits, &labels);
    let gradient = softmax_cross_entropy::gradient(N, classes, &residual, &weights);
    let numerical = numerical_gradient(&logits, |logits| {
        dot(&softmax_cross_entropy::losses(N, classes, logits, &labels), &weights)
    });
    assert_derivative("gradient", &gradient, &numerical);
}

#[test]
fn the_residual_against_a_smoothed_target_is_the_gradient_of_the_loss() {
    let (classes, labels, smoothing) = (4, [2, 0, 4], 0.3);
    let logits: Vec<f64> = values(1, N * classes).iter().map(|v| 3.0 * v).collect();
    let smoothed =
        |logits: &[f64]| softmax_cross_entropy::smoothed(N, classes, logits, &labels, smoothing);
    let numerical = numerical_gradient(&logits, |logits| smoothed(logits).0.iter().sum());
    assert_derivative("residual", &smoothed(&logits).1, &numerical);
    let plain = softmax_cross_entropy::losses(N, classes, &logits, &labels);
    assert_equal(
        "losses",
        &softmax_cross_entropy::smoothed(N, classes, &logits, &labels, 0.0).0,
        &plain,
    );
}

#[test]
fn the_tangent_of_the_loss_is_its_directional_derivative() {
    let (classes, labels) = (4, [2, 0, 3]);
    let (logits, dlogits) = (values(1, N * classes), values(2, N * classes));
    let residual = softmax_cross_entropy::residual(N, classes, &logits, &labels);
    let u = softmax_cross_entropy::tangent(N, classes, &residual, &dlogits);
    let difference = central_difference(|t| {
        softmax_cross_entropy::losses(N, classes, &moved(&logits, t, &dlogits), &labels)
    });
    assert_derivative("u", &u, &difference);
}

#[test]
fn the_gaussian_unit_has_the_derivative_that_its_twin_says() {
    let x: Vec<f64> = values(1, 200).iter().map(|v| 5.0 * v).collect();
    let dx = values(2, x.len());
    let difference = central_difference(|t| gelu::forward(&moved(&x, t, &dx)));
    assert_derivative("gelu", &gelu::times_derivative(&x, &dx), &difference);
}

#[test]
fn relu_and_dropout_pass_derivatives_where_they_pass_values() {
    let (x, dx) = (values(1, 40), values(2, 40));
    let difference = central_difference(|t| relu::forward(&moved(&x, t, &dx)));
    assert_derivative("relu", &relu::apply_mask(&relu::forward(&x), &dx), &difference);

    let mask: Vec<f64> =
        values(3, 40).iter().map(|&v| if v > 0.4 { 0.0 } else { 1.0 / 0.7 }).collect();
    let difference = central_difference(|t| dropout::forward(&moved(&x, t, &dx), &mask));
    assert_derivative("dropout", &dropout::forward(&dx, &mask), &difference);
}
