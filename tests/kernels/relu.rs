//! The rectifier and its mask equal the twins.

use l2rw::ops::relu;
use l2rw::reference;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{INPUTS, LENGTHS, values};

#[test]
fn the_rectifier_and_its_mask_equal_the_twins_and_keep_nans() {
    let extremes = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN, 0.125, -8.0];
    let inputs = INPUTS.map(|input| LENGTHS.map(|len| input(1, len)).to_vec());
    let mut cases = inputs.concat();
    cases.extend([extremes.to_vec(), extremes[1..].to_vec()]);
    assert_table(&cases, |x, bench, expected| {
        let d = values(2, x.len());
        let (x_in, d_in) = (bench.floats(x), bench.floats(&d));
        let y = relu::forward(&mut bench.rec, x_in);
        let masked = relu::mask(&mut bench.rec, y, d_in);
        let reference = reference::relu::forward(x);
        let masked_reference = reference::relu::apply_mask(&reference, &d);
        expected.floats("output", y, reference, Tolerance::EXACT);
        expected.floats("masked", masked, masked_reference, Tolerance::EXACT);
    });
}
