//! Similarities in Gram form, from inputs and output gradients, equal the twin.

use l2rw::ops::{View, Window, gram};
use l2rw::reference;

use super::conv::{Data, cases};
use crate::common::device::Bench;
use crate::common::table::{Expected, Tolerance, assert_table};
use crate::common::values::values;

pub fn record_similarity(
    data: &Data,
    n: usize,
    w: &Window,
    bench: &mut Bench,
    expected: &mut Expected,
) {
    let m = 2;
    let (x, dy) = (bench.floats(&data.x), bench.floats(&data.dy));
    let (clean_x, clean_dy) = (values(7, m * w.input_len()), values(8, m * w.output_len()));
    let clean = gram::Clean { m, x: bench.floats(&clean_x), dy: bench.floats(&clean_dy) };
    let out = bench.rec.transient("gram", n);
    let view = View::whole(&bench.rec, out);
    gram::similarity(&mut bench.rec, w, n, x, dy, clean, view);
    let reference = reference::gram::similarity(w, n, m, &data.x, &data.dy, &clean_x, &clean_dy);
    let pairs = w.out_positions() * w.out_positions() * m;
    let tolerance = Tolerance::sums(&[w.patch_len(), w.out_channels, pairs], 1.0);
    expected.floats("gram", out, reference, tolerance);
}

#[test]
fn similarities_in_gram_form_equal_the_twin() {
    assert_table(&cases(), |case, bench, expected| {
        for data in case.data() {
            record_similarity(&data, case.n, &case.window, bench, expected);
        }
    });
}
