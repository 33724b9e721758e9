//! The rectifier and its mask equal the twins.

use l2rw::ops::relu;
use l2rw::reference;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{LENGTHS, values};

#[test]
fn the_rectifier_and_its_mask_equal_the_twins() {
    assert_table(&LENGTHS, |&len, bench, expected| {
        let (mut x, d) = (values(1, len), values(2, len));
        x[0] = 0.0;
        let (x_in, d_in) = (bench.floats(&x), bench.floats(&d));
        let y = relu::forward(&mut bench.rec, x_in);
        let masked = relu::mask(&mut bench.rec, y, d_in);
        let reference = reference::relu::forward(&x);
        let masked_reference = reference::relu::apply_mask(&reference, &d);
        expected.floats("output", y, reference, Tolerance::EXACT);
        expected.floats("masked", masked, masked_reference, Tolerance::EXACT);
    });
}
