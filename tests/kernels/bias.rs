//! Biases, their gradients and their similarities equal the twins.

use l2rw::ops::{View, bias};
use l2rw::reference;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{INPUTS, values};

#[derive(Clone, Copy, Debug)]
struct BiasCase {
    n: usize,
    positions: usize,
    channels: usize,
}

#[test]
fn biases_their_gradients_and_their_similarities_equal_the_twins() {
    let case = |n, positions, channels| BiasCase { n, positions, channels };
    let cases = [case(3, 35, 5), case(1, 1, 7), case(9, 1, 3), case(2, 512, 3), case(2, 300, 2)];
    let cases = INPUTS.map(|input| cases.map(|case| (case, input))).concat();
    assert_table(&cases, |&(BiasCase { n, positions, channels }, input), bench, expected| {
        let len = n * positions * channels;
        let (x, dy) = (input(1, len), input(2, len));
        let (b, g, mut weights) = (values(3, channels), values(4, channels), values(5, n));
        let [y_in, dy_in, b_in, g_in] = [&x, &dy, &b, &g].map(|v| bench.floats(v));
        let (b_in, g_in) = (View::whole(&bench.rec, b_in), View::whole(&bench.rec, g_in));
        bias::forward(&mut bench.rec, y_in, b_in);
        let reference = reference::bias::add(n, positions, channels, &x, &b);
        expected.floats("sum", y_in, reference, Tolerance::roundings(1, 2.0));

        let sums = bias::position_sums(&mut bench.rec, dy_in, positions, channels);
        weights[n / 2] = 0.0;
        let weights_in = bench.floats(&weights);
        let tolerance = Tolerance::sums(&[n * positions], 1.0);
        for weights in [None, Some(&weights)] {
            let out = bench.rec.transient("gradient", channels);
            let view = View::whole(&bench.rec, out);
            bias::gradient(&mut bench.rec, sums, weights.map(|_| weights_in), view);
            let weights = weights.map(Vec::as_slice);
            let reference = reference::bias::gradient(n, positions, channels, &dy, weights);
            expected.floats("gradient", out, reference, tolerance);
        }

        let out = bench.rec.transient("similarity", n);
        let view = View::whole(&bench.rec, out);
        bias::similarity(&mut bench.rec, sums, g_in, view);
        let reference = reference::bias::similarity(n, positions, channels, &dy, &g);
        expected.floats("similarity", out, reference, Tolerance::sums(&[positions, channels], 1.0));
    });
}
