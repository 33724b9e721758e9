//! Sums and zeros equal the twin, however many elements there are.

use l2rw::gpu::ShaderChecks;
use l2rw::ops::add;
use l2rw::reference;

use crate::common::device::Bench;
use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{INPUTS, LENGTHS, values};

#[test]
fn sums_and_zeros_equal_the_twin() {
    let cases = INPUTS.map(|input| LENGTHS.map(|len| input(1, len)).to_vec()).concat();
    assert_table(&cases, |a, bench, expected| {
        let b = values(2, a.len());
        let (a_in, b_in) = (bench.floats(a), bench.floats(&b));
        let sum = add::forward(&mut bench.rec, a_in, b_in);
        expected.floats("sum", sum, reference::add::forward(a, &b), Tolerance::ROUNDED);
        let zeros = add::zeros_like(&mut bench.rec, a_in);
        expected.floats("zeros", zeros, vec![0.0; a.len()], Tolerance::EXACT);
    });
}

#[test]
fn more_elements_than_one_dimension_of_workgroups_holds_are_all_reached() {
    // 65,535 workgroups of 64, and some more; an odd number goes one by one.
    let len = 65_535 * 64 + 101;
    let mut bench = Bench::new();
    let x = bench.integers(&vec![1.0_f32.to_bits(); len]);
    let sum = add::forward(&mut bench.rec, x, x);
    let results = bench.run_bits(ShaderChecks::Trusted, &[sum]);
    assert_eq!(results[0].iter().position(|&bits| bits != 2.0_f32.to_bits()), None);
}
