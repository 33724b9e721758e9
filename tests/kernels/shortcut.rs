//! Shortcuts without parameters, and their gradients, equal the twins.

use l2rw::ops::shortcut::{self, Shortcut};
use l2rw::reference;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{INPUTS, values};

#[test]
fn residual_sums_and_their_gradients_equal_the_twins() {
    let shortcut = |height, width, in_channels, out_channels, stride| Shortcut {
        height,
        width,
        in_channels,
        out_channels,
        stride,
    };
    let cases = [
        shortcut(6, 8, 3, 8, 2),
        shortcut(5, 7, 4, 7, 2),
        shortcut(4, 5, 3, 3, 1),
        shortcut(3, 5, 2, 3, 1),
        shortcut(7, 8, 2, 2, 3),
        shortcut(1, 1, 2, 4, 2),
        // Channels by fours, on both sides of the input's as well.
        shortcut(5, 7, 4, 12, 2),
        shortcut(4, 3, 8, 8, 1),
        // The input's channels begin in the middle of four.
        shortcut(6, 5, 4, 8, 2),
    ];
    let cases = INPUTS.map(|input| cases.map(|s| (s, input))).concat();
    assert_table(&cases, |(s, input), bench, expected| {
        let n = 3;
        let (x, main) = (input(1, n * s.input_len()), input(2, n * s.output_len()));
        let (x_in, main_in) = (bench.floats(&x), bench.floats(&main));
        let tolerance = Tolerance::sums(&[s.stride * s.stride + 1], 1.0);
        let y = shortcut::forward(&mut bench.rec, s, n, main_in, x_in);
        expected.floats("sum", y, reference::shortcut::forward(s, n, &main, &x), tolerance);
        let (dmain, dx) = (values(4, main.len()), values(5, x.len()));
        let main_dual = (main_in, bench.floats(&dmain));
        let x_dual = (x_in, bench.floats(&dx));
        let (y, dy) = shortcut::dual(&mut bench.rec, s, n, main_dual, x_dual);
        expected.floats("dual sum", y, reference::shortcut::forward(s, n, &main, &x), tolerance);
        let reference = reference::shortcut::forward(s, n, &dmain, &dx);
        expected.floats("dual sum's tangent", dy, reference, tolerance);
        let dx = shortcut::backward(&mut bench.rec, s, n, main_in);
        expected.floats("gradient", dx, reference::shortcut::backward(s, n, &main), tolerance);
    });
}
