//! Pooling and its derivatives equal the twins.

use l2rw::ops::{Window, pool};
use l2rw::reference;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{INPUTS, values, values_with_nan};

#[derive(Debug)]
struct Case {
    n: usize,
    window: Window,
}

fn cases() -> Vec<Case> {
    let windows = [
        (3, Window::same(7, 4, 3, 3, 3, 2)),
        (2, Window::same(8, 9, 5, 5, 3, 2)),
        (3, Window::same(4, 5, 2, 2, 3, 1)),
        (2, Window::same(5, 6, 2, 2, 2, 2)),
        (3, Window::padded(6, 9, 3, 3, 2, 2, 0)),
        (2, Window::padded(5, 7, 2, 2, 2, 3, 0)),
        (2, Window::padded(7, 6, 3, 3, 3, 2, 1)),
        (2, Window { kernel_w: 2, ..Window::padded(7, 6, 1, 1, 4, 1, 1) }),
        (3, Window::global(5, 7, 3)),
        (1, Window::global(1, 1, 4)),
        // Channels by fours; a window with taps that do not fit into a byte.
        (3, Window::same(7, 4, 4, 4, 3, 2)),
        (2, Window::padded(7, 6, 8, 8, 3, 2, 1)),
        (2, Window::same(5, 6, 12, 12, 2, 2)),
        (1, Window::padded(4, 112, 4, 4, 3, 2, 1)),
        (1, Window::global(16, 16, 4)),
        (1, Window::global(16, 17, 4)),
    ];
    windows.into_iter().map(|(n, window)| Case { n, window }).collect()
}

/// Few distinct values, so that most windows hold their maximum more than once.
fn with_ties(seed: u32, len: usize) -> Vec<f64> {
    values(seed, len).iter().map(|v| (2.0 * v).round() - 1.0).collect()
}

/// Winners as the kernels store them.
fn packed(winners: &[u32], lanes: usize) -> Vec<u32> {
    let word = |taps: &[u32]| taps.iter().rev().fold(0, |word, tap| (word << 8) | tap);
    winners.chunks(lanes).map(word).collect()
}

#[test]
fn maxima_their_winners_and_their_derivatives_equal_the_twins() {
    for input in [with_ties as fn(u32, usize) -> Vec<f64>, values, values_with_nan] {
        assert_table(&cases(), |Case { n, window: w }, bench, expected| {
            let (n, x) = (*n, input(1, n * w.input_len()));
            let (dx, dy) = (values(2, x.len()), values(3, n * w.output_len()));
            let [x_in, dx_in, dy_in] = [&x, &dx, &dy].map(|v| bench.floats(v));
            let (y, winner) = pool::max_forward(&mut bench.rec, w, n, x_in);
            let (reference, argmax) = reference::pool::max_forward(w, n, &x);
            expected.floats("maximum", y, reference, Tolerance::EXACT);

            let tangent = pool::max_tangent(&mut bench.rec, w, n, dx_in, winner);
            let reference = reference::pool::max_tangent(w, n, &argmax, &dx);
            expected.floats("tangent", tangent, reference, Tolerance::EXACT);

            let gradient = pool::max_backward(&mut bench.rec, w, n, dy_in, winner);
            let reference = reference::pool::max_backward(w, n, &argmax, &dy);
            let tolerance = Tolerance::sums(&[w.kernel_h * w.kernel_w], 1.0);
            expected.floats("gradient", gradient, reference, tolerance);
            expected.words("winner", winner, packed(&argmax, pool::lanes(w)));
        });
    }
}

#[test]
fn averages_and_their_gradients_equal_the_twins() {
    let with = |input| cases().into_iter().map(move |case| (case, input));
    let cases: Vec<_> = INPUTS.into_iter().flat_map(with).collect();
    assert_table(&cases, |(Case { n, window: w }, input), bench, expected| {
        let (x, dy) = (input(1, n * w.input_len()), input(2, n * w.output_len()));
        let (x_in, dy_in) = (bench.floats(&x), bench.floats(&dy));
        let tolerance = Tolerance::sums(&[w.kernel_h * w.kernel_w], 1.0);
        let y = pool::average_forward(&mut bench.rec, w, *n, x_in);
        expected.floats("average", y, reference::pool::average_forward(w, *n, &x), tolerance);
        let dx = pool::average_backward(&mut bench.rec, w, *n, dy_in);
        expected.floats("gradient", dx, reference::pool::average_backward(w, *n, &dy), tolerance);
    });
}
