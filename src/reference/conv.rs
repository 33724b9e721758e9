//! Convolution (cross-correlation, as every deep-learning library has it) and the inner products of
//! its per-example weight gradients.
//!
//! Everything here is one trilinear form, `Σ dy · x · w` over the products of [`Window::taps`],
//! with one or two of the three left open: the output, the input gradient, the weight gradient, or
//! a number per example.

use super::{check_len, example_weight};
use crate::ops::Window;

/// Calls `product(y, x, w)` with the element indices of every multiplication of example `i`.
fn for_each_product(win: &Window, i: usize, mut product: impl FnMut(usize, usize, usize)) {
    for o in 0..win.out_positions() {
        for (tap, p) in win.taps(o) {
            for ci in 0..win.in_channels {
                for co in 0..win.out_channels {
                    product(
                        win.output_index(i, o, co),
                        win.input_index(i, p, ci),
                        win.weight_index(tap, ci, co),
                    );
                }
            }
        }
    }
}

/// `y = conv(x, w)`: `x` is the input batch, `w` the weights. Returns the output batch.
pub fn forward(win: &Window, n: usize, x: &[f64], w: &[f64]) -> Vec<f64> {
    check_len("x", x, n * win.input_len());
    check_len("w", w, win.weight_len());
    let mut out = vec![0.0; n * win.output_len()];
    for i in 0..n {
        for_each_product(win, i, |y, x_at, w_at| out[y] += x[x_at] * w[w_at]);
    }
    out
}

/// The dual-number convolution `(z, ż) = (conv(x, w), conv(ẋ, w) + conv(x, ẇ))`.
///
/// `dx` is the tangent of the input, `None` where it is zero (the first layer); `dw` the tangent of
/// the weights. Returns both output batches.
pub fn dual(
    win: &Window,
    n: usize,
    x: &[f64],
    dx: Option<&[f64]>,
    w: &[f64],
    dw: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let z = forward(win, n, x, w);
    let mut dz = forward(win, n, x, dw);
    if let Some(dx) = dx {
        for (dz, through_input) in dz.iter_mut().zip(forward(win, n, dx, w)) {
            *dz += through_input;
        }
    }
    (z, dz)
}

/// The gradient with respect to the input, from the gradient `dy` of the output batch. Returns an
/// input batch.
pub fn input_gradient(win: &Window, n: usize, dy: &[f64], w: &[f64]) -> Vec<f64> {
    check_len("dy", dy, n * win.output_len());
    check_len("w", w, win.weight_len());
    let mut dx = vec![0.0; n * win.input_len()];
    for i in 0..n {
        for_each_product(win, i, |y, x, w_at| dx[x] += dy[y] * w[w_at]);
    }
    dx
}

/// The gradient with respect to the weights, `Σ_i example_weights_i · ∂f_i/∂w`.
///
/// `example_weights` is `[n]`, all ones where `None`. Examples of weight 0 are skipped, whatever
/// `x` and `dy` hold for them.
pub fn weight_gradient(
    win: &Window,
    n: usize,
    x: &[f64],
    dy: &[f64],
    example_weights: Option<&[f64]>,
) -> Vec<f64> {
    check_len("x", x, n * win.input_len());
    check_len("dy", dy, n * win.output_len());
    if let Some(weights) = example_weights {
        check_len("example_weights", weights, n);
    }
    let mut dw = vec![0.0; win.weight_len()];
    for i in 0..n {
        let weight = example_weight(example_weights, i);
        if weight == 0.0 {
            continue;
        }
        for_each_product(win, i, |y, x_at, w| dw[w] += weight * x[x_at] * dy[y]);
    }
    dw
}

/// `u_i = ⟨∂f_i/∂w, g⟩` in gradient form, `⟨dy_i, conv(x_i, g)⟩`, without ever holding `∂f_i/∂w`.
///
/// `g` has the shape of the weights. Returns `[n]`.
pub fn similarity(win: &Window, n: usize, x: &[f64], dy: &[f64], g: &[f64]) -> Vec<f64> {
    check_len("x", x, n * win.input_len());
    check_len("dy", dy, n * win.output_len());
    check_len("g", g, win.weight_len());
    let mut u = vec![0.0; n];
    for i in 0..n {
        for_each_product(win, i, |y, x_at, w| u[i] += dy[y] * x[x_at] * g[w]);
    }
    u
}

/// `∂f_i/∂w` of every example. Returns `[n, kernel_h · kernel_w · in_channels · out_channels]`.
pub fn per_example_gradient(win: &Window, n: usize, x: &[f64], dy: &[f64]) -> Vec<f64> {
    check_len("x", x, n * win.input_len());
    check_len("dy", dy, n * win.output_len());
    let mut dw = vec![0.0; n * win.weight_len()];
    for i in 0..n {
        for_each_product(win, i, |y, x_at, w| {
            dw[i * win.weight_len() + w] += x[x_at] * dy[y];
        });
    }
    dw
}
