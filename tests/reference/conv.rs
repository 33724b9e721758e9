//! The convolution twin against its definition, finite differences and itself.

use crate::common::differences::{assert_derivative, assert_equal, central_difference, dot, moved};
use crate::common::values::values;
use crate::common::windows::windows;
use l2rw::ops::Window;
use l2rw::reference::{bias, conv, gram, matmul};

const N: usize = 3;
const M: usize = 2;

fn convolution_of_a_padded_copy(win: &Window, x: &[f64], w: &[f64]) -> Vec<f64> {
    let rows = win.height.max((win.out_height - 1) * win.stride + win.kernel_h) + win.pad_top;
    let columns = win.width.max((win.out_width - 1) * win.stride + win.kernel_w) + win.pad_left;
    let mut padded = vec![0.0; N * rows * columns * win.in_channels];
    for i in 0..N {
        for y in 0..win.height {
            let from = (i * win.height + y) * win.width * win.in_channels;
            let to = ((i * rows + y + win.pad_top) * columns + win.pad_left) * win.in_channels;
            let len = win.width * win.in_channels;
            padded[to..to + len].copy_from_slice(&x[from..from + len]);
        }
    }
    let mut out = Vec::new();
    for i in 0..N {
        for oy in 0..win.out_height {
            for ox in 0..win.out_width {
                for co in 0..win.out_channels {
                    let mut sum = 0.0;
                    for ky in 0..win.kernel_h {
                        for kx in 0..win.kernel_w {
                            for ci in 0..win.in_channels {
                                let (y, x) = (oy * win.stride + ky, ox * win.stride + kx);
                                let tap = (ky * win.kernel_w + kx) * win.in_channels + ci;
                                sum += padded
                                    [((i * rows + y) * columns + x) * win.in_channels + ci]
                                    * w[tap * win.out_channels + co];
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

#[test]
fn the_forward_pass_is_the_convolution_of_a_padded_copy() {
    for win in windows() {
        let (x, w) = (values(1, N * win.input_len()), values(2, win.weight_len()));
        let expected = convolution_of_a_padded_copy(&win, &x, &w);
        assert_equal(&format!("{win:?}"), &conv::forward(&win, N, &x, &w), &expected);
    }
}

#[test]
fn a_linear_window_is_a_matrix_product_in_all_three_directions() {
    let (d_in, d_out) = (6, 4);
    let win = Window::linear(d_in, d_out);
    let (x, w, dy) = (values(1, N * d_in), values(2, d_in * d_out), values(3, N * d_out));
    assert_equal("y", &conv::forward(&win, N, &x, &w), &matmul::nn(N, d_in, d_out, &x, &w));
    assert_equal(
        "dx",
        &conv::input_gradient(&win, N, &dy, &w),
        &matmul::nt(N, d_out, d_in, &dy, &w),
    );
    assert_equal(
        "dw",
        &conv::weight_gradient(&win, N, &x, &dy, None),
        &matmul::tn(d_in, N, d_out, &x, &dy),
    );
}

#[test]
fn the_dual_pass_is_the_directional_derivative() {
    for win in windows() {
        let (x, w) = (values(1, N * win.input_len()), values(2, win.weight_len()));
        let (dx, dw) = (values(3, x.len()), values(4, w.len()));
        let what = format!("{win:?}");

        let (z, dz) = conv::dual(&win, N, &x, Some(&dx), &w, &dw);
        assert_equal(&what, &z, &conv::forward(&win, N, &x, &w));
        let difference =
            central_difference(|t| conv::forward(&win, N, &moved(&x, t, &dx), &moved(&w, t, &dw)));
        assert_derivative(&what, &dz, &difference);

        let (_, dz) = conv::dual(&win, N, &x, None, &w, &dw);
        let difference = central_difference(|t| conv::forward(&win, N, &x, &moved(&w, t, &dw)));
        assert_derivative(&what, &dz, &difference);
    }
}

#[test]
fn both_gradients_are_adjoint_to_the_forward_pass() {
    for win in windows() {
        let (x, w) = (values(1, N * win.input_len()), values(2, win.weight_len()));
        let dy = values(5, N * win.output_len());
        let (dx, dw) = (values(3, x.len()), values(4, w.len()));
        let through_x = dot(&conv::forward(&win, N, &dx, &w), &dy);
        let through_w = dot(&conv::forward(&win, N, &x, &dw), &dy);
        let input_gradient = conv::input_gradient(&win, N, &dy, &w);
        let weight_gradient = conv::weight_gradient(&win, N, &x, &dy, None);
        assert_equal(
            &format!("{win:?}"),
            &[dot(&input_gradient, &dx), dot(&weight_gradient, &dw)],
            &[through_x, through_w],
        );
    }
}

#[test]
fn the_weight_gradient_is_the_weighted_sum_of_per_example_gradients() {
    let example_weights = [-0.25, 0.0, 0.01];
    for win in windows() {
        let (x, dy) = (values(1, N * win.input_len()), values(5, N * win.output_len()));
        let rows = conv::per_example_gradient(&win, N, &x, &dy);
        assert_equal(
            &format!("{win:?}"),
            &conv::weight_gradient(&win, N, &x, &dy, Some(&example_weights)),
            &matmul::nn(1, N, win.weight_len(), &example_weights, &rows),
        );
    }
}

#[test]
fn an_example_of_weight_zero_is_never_read() {
    let win = Window::same(3, 4, 2, 3, 3, 1);
    let x = values(1, N * win.input_len());
    let mut dy = values(5, N * win.output_len());
    dy[win.output_index(1, 0, 0)] = f64::NAN;
    let dw = conv::weight_gradient(&win, N, &x, &dy, Some(&[1.0, 0.0, 1.0]));
    assert!(dw.iter().all(|v| v.is_finite()));
    let db = bias::gradient(N, win.out_positions(), 3, &dy, Some(&[1.0, 0.0, 1.0]));
    assert!(db.iter().all(|v| v.is_finite()));
}

#[test]
fn the_forms_of_the_similarity_agree() {
    for win in windows() {
        let (x, dy) = (values(1, N * win.input_len()), values(5, N * win.output_len()));
        let (clean_x, mut clean_dy) =
            (values(6, M * win.input_len()), values(7, M * win.output_len()));
        for v in &mut clean_dy {
            *v /= M as f64;
        }
        let g = conv::weight_gradient(&win, M, &clean_x, &clean_dy, None);
        let rows = conv::per_example_gradient(&win, N, &x, &dy);
        let explicit = matmul::nn(N, g.len(), 1, &rows, &g);
        let what = format!("{win:?}");
        assert_equal(&what, &conv::similarity(&win, N, &x, &dy, &g), &explicit);
        let gram = gram::similarity(&win, N, M, &x, &dy, &clean_x, &clean_dy);
        assert_equal(&what, &gram, &explicit);
    }
}

#[test]
fn the_bias_is_differentiated_and_weighted_by_example() {
    let (positions, channels) = (5, 3);
    let (x, b) = (values(1, N * positions * channels), values(2, channels));
    let (dy, db) = (values(3, x.len()), values(4, channels));
    let example_weights = values(5, N);

    let difference =
        central_difference(|t| bias::add(N, positions, channels, &x, &moved(&b, t, &db)));
    let gradient = bias::gradient(N, positions, channels, &dy, None);
    assert_derivative("gradient", &[dot(&gradient, &db)], &[dot(&difference, &dy)]);

    let u = bias::similarity(N, positions, channels, &dy, &db);
    let weighted = bias::gradient(N, positions, channels, &dy, Some(&example_weights));
    assert_equal("similarity", &[dot(&u, &example_weights)], &[dot(&weighted, &db)]);
}
