use l2rw::ops::matmul;
use l2rw::reference::matmul as twin;

use super::table::{Tolerance, assert_table};
use super::values::values;

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
        (8, 12, 16),
        (12, 7, 20),
        (20, 36, 28),
        // Rows or columns alone are multiples of 4.
        (16, 9, 6),
        (5, 8, 24),
        (17, 300, 8),
        (100, 64, 10),
    ];
    let cases = sizes.map(|(m, k, n)| Case { m, k, n });
    assert_table(&cases, |&Case { m, k, n }, bench, expected| {
        let (a, b) = (values(1, m * k), values(2, k * n));
        let (a_in, b_in) = (bench.floats(&a), bench.floats(&b));
        let tolerance = Tolerance::sums(&[k], 1.0);
        let c = matmul::nn(&mut bench.rec, m, k, n, a_in, b_in);
        expected.floats("nn", c, twin::nn(m, k, n, &a, &b), tolerance);
        let c = matmul::nt(&mut bench.rec, m, k, n, a_in, b_in);
        expected.floats("nt", c, twin::nt(m, k, n, &a, &b), tolerance);
        let c = matmul::tn(&mut bench.rec, m, k, n, a_in, b_in);
        expected.floats("tn", c, twin::tn(m, k, n, &a, &b), tolerance);
    });
}
