//! The Gaussian error linear unit and its derivative equal the twins.

use l2rw::ops::gelu;
use l2rw::reference;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{INPUTS, LENGTHS, values};

#[test]
fn the_gaussian_unit_and_its_derivative_equal_the_twins_and_keep_nans() {
    let scaled = |input: fn(u32, usize) -> Vec<f64>, factor: f64| {
        LENGTHS.map(|len| input(1, len).iter().map(|v| factor * v).collect::<Vec<f64>>()).to_vec()
    };
    let inputs = INPUTS.map(|input| [scaled(input, 1.0), scaled(input, 6.0)].concat());
    let mut cases = inputs.concat();
    cases.push(vec![0.0, -0.0, 1e-30, -1e-30, 12.0, -12.0, 1e20, -1e20, 3e38, -3e38, 0.5, -0.5]);
    assert_table(&cases, |x, bench, expected| {
        let d = values(2, x.len());
        let (x_in, d_in) = (bench.floats(x), bench.floats(&d));
        let y = gelu::forward(&mut bench.rec, x_in);
        let product = gelu::times_derivative(&mut bench.rec, x_in, d_in);
        // WGSL lets exp(a) be off by 3 + 2|a| roundings, most where the tail is thin.
        let tolerance = Tolerance { rtol: 2e-6, ..Tolerance::roundings(8, 1.0) };
        expected.floats("output", y, reference::gelu::forward(x), tolerance);
        let reference = reference::gelu::times_derivative(x, &d);
        expected.floats("product", product, reference, tolerance);
    });
}
