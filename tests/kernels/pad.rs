//! Padded and cropped matrices equal the twin.

use l2rw::ops::pad;
use l2rw::reference;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::INPUTS;

#[test]
fn padded_and_cropped_matrices_equal_the_twin() {
    let sizes = [
        ([1, 1], [4, 4]),
        ([4, 4], [1, 1]),
        ([3, 5], [3, 8]),
        ([5, 3], [8, 3]),
        ([7, 13], [8, 16]),
        ([8, 16], [7, 13]),
        // Rows are added and columns left out.
        ([2, 9], [11, 3]),
        ([67, 41], [68, 44]),
    ];
    let cases = INPUTS.map(|input| sizes.map(|sizes| (input, sizes)).to_vec()).concat();
    assert_table(&cases, |&(input, (from, to)), bench, expected| {
        let x = input(1, from[0] * from[1]);
        let x_in = bench.floats(&x);
        let y = pad::resize(&mut bench.rec, x_in, from, to);
        expected.floats("resized", y, reference::pad::resize(&x, from, to), Tolerance::EXACT);
    });
}
