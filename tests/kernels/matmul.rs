//! Matrix products of every scheme equal the twins.

use l2rw::gpu::{Precision, Staging, Tuning};
use l2rw::ops::matmul;
use l2rw::reference::matmul as twin;

use crate::common::device::{Bench, matrices, offered};
use crate::common::table::{Expected, Tolerance, assert_table, assert_table_tuned};
use crate::common::values::{INPUTS, values};

#[derive(Debug)]
struct Case {
    m: usize,
    k: usize,
    n: usize,
}

#[test]
fn products_equal_the_twins_in_all_three_transpositions() {
    let sizes = [
        (1, 1, 1),
        (1, 8, 4),
        (3, 5, 2),
        (7, 13, 11),
        (9, 4, 12),
        (12, 7, 20),
        // Rows or columns alone are multiples of 4.
        (16, 9, 6),
        (5, 8, 24),
        (17, 300, 8),
        (100, 64, 10),
        // Large enough to be padded.
        (37, 29, 35),
        (33, 40, 31),
        (30, 41, 36),
    ];
    let cases = sizes.map(|(m, k, n)| Case { m, k, n });
    assert_table(&cases, record_products);
}

#[test]
fn products_as_passes_of_a_layer_equal_the_twins() {
    let sizes = [(1, 4, 4), (12, 32, 16), (24, 20, 8), (68, 16, 36), (7, 13, 11)];
    let cases = sizes.map(|(m, k, n)| Case { m, k, n });
    let tunings =
        [true, false].map(|wide_loads| offered(Tuning { wide_loads, ..Tuning::SOFTWARE }));
    assert_table_tuned(&cases, tunings, record_products);
}

#[test]
fn products_staged_through_workgroup_memory_equal_the_twins() {
    // One and two tiles of 64 or 128 rows, part of them outside; 16 terms a step, with a rest.
    let sizes = [(65, 36, 68), (40, 20, 132), (196, 16, 4), (12, 40, 8)];
    let cases = sizes.map(|(m, k, n)| Case { m, k, n });
    for matrices in matrices() {
        let tunings = [false, true].map(|wide_tiles| Tuning {
            staging: Some(Staging {
                channels: 1,
                product: 1,
                wide_tiles,
                workgroups: 1,
                matrices,
                precision: Precision::F32,
            }),
            ..Tuning::GPU
        });
        assert_table_tuned(&cases, tunings, |case, bench, expected| {
            record_products(case, bench, expected);
        });
    }
}

fn record_products(case: &Case, bench: &mut Bench, expected: &mut Expected) {
    for input in INPUTS {
        record_products_of(input, case, bench, expected);
    }
}

fn record_products_of(
    input: fn(u32, usize) -> Vec<f64>,
    &Case { m, k, n }: &Case,
    bench: &mut Bench,
    expected: &mut Expected,
) {
    let (a, b) = (input(1, m * k), values(2, k * n));
    let (a_in, b_in) = (bench.floats(&a), bench.floats(&b));
    let tolerance = Tolerance::sums(&[k], 1.0);
    let c = matmul::nn(&mut bench.rec, m, k, n, a_in, b_in);
    expected.floats("nn", c, twin::nn(m, k, n, &a, &b), tolerance);
    let c = matmul::nt(&mut bench.rec, m, k, n, a_in, b_in);
    expected.floats("nt", c, twin::nt(m, k, n, &a, &b), tolerance);
    let c = matmul::tn(&mut bench.rec, m, k, n, a_in, b_in);
    expected.floats("tn", c, twin::tn(m, k, n, &a, &b), tolerance);
}
