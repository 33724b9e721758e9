//! Sums and inner products over rows equal the twins, at any length.

use l2rw::ops::{Rows, View, reduce};
use l2rw::reference::reduce as twin;

use crate::common::table::{Tolerance, assert_table};
use crate::common::values::values;

#[derive(Debug)]
struct Case {
    rows: usize,
    columns: usize,
    first: usize,
    width: usize,
    per_example: usize,
}

fn cases() -> Vec<Case> {
    let case = |rows, columns, first, width, per_example| Case {
        rows,
        columns,
        first,
        width,
        per_example,
    };
    vec![
        case(1, 1, 0, 1, 1),
        case(12, 7, 0, 7, 3),
        case(12, 10, 5, 5, 2),
        case(128, 3, 0, 3, 1),
        case(129, 3, 1, 2, 1),
        case(300, 70, 3, 66, 5),
        // Columns by fours: all, a part, and one that begins between.
        case(300, 24, 0, 24, 5),
        case(150, 16, 8, 4, 3),
        case(130, 16, 2, 8, 1),
        // More than a block of blocks.
        case(128 * 128 + 1, 2, 1, 1, 1),
        case(40_000, 1, 0, 1, 4),
    ]
}

#[test]
fn rows_are_summed_weighted_and_multiplied_as_by_the_twins() {
    assert_table(&cases(), |case, bench, expected| {
        let Case { rows, columns, first, width, per_example } = *case;
        let (matrix, vector) = (values(1, rows * columns), values(2, width));
        let examples = rows / per_example;
        let tensor = bench.floats(&matrix);
        let taken = Rows { matrix: tensor, columns, first, width, per_example };
        let reference = twin::ExampleRows {
            matrix: &matrix,
            columns,
            taken: first..first + width,
            rows_per_example: per_example,
        };
        let tolerance = Tolerance::sums(&[rows], 1.0);
        let out = bench.rec.transient("sums", width);
        let view = View::whole(&bench.rec, out);
        reduce::sum_rows(&mut bench.rec, taken, None, view);
        expected.floats("sums", out, twin::sum_rows(&reference, None), tolerance);

        let vector_in = bench.floats(&vector);
        let vector_in = View::whole(&bench.rec, vector_in);
        let out = bench.rec.transient("dots", examples);
        let view = View::whole(&bench.rec, out);
        reduce::dot_rows(&mut bench.rec, taken, vector_in, view);
        let dots = twin::dot_rows(&reference, &vector);
        expected.floats("dots", out, dots, Tolerance::sums(&[width, per_example], 1.0));

        let other = values(4, matrix.len());
        let (pairs_x, pairs_other) = (bench.floats(&matrix), bench.floats(&other));
        let out = bench.rec.transient("dots of pairs", matrix.len() / columns);
        let view = View::whole(&bench.rec, out);
        reduce::dot_pairs(&mut bench.rec, columns, pairs_x, pairs_other, view);
        let dots = twin::dot_pairs(columns, &matrix, &other);
        expected.floats("dots of pairs", out, dots, Tolerance::sums(&[columns], 1.0));

        let (mut weights, mut with_nan) = (values(3, examples), matrix.clone());
        // One that counts.
        with_nan[matrix.len() - 1] = f64::NAN;
        if examples > 1 {
            weights[1] = 0.0;
            with_nan[per_example * columns..2 * per_example * columns].fill(f64::NAN);
        }
        let (weights_in, nan_in) = (bench.floats(&weights), bench.floats(&with_nan));
        let out = bench.rec.transient("weighted sums", width);
        let view = View::whole(&bench.rec, out);
        let taken = Rows { matrix: nan_in, ..taken };
        reduce::sum_rows(&mut bench.rec, taken, Some(weights_in), view);
        let reference = twin::ExampleRows { matrix: &with_nan, ..reference };
        let sums = twin::sum_rows(&reference, Some(&weights));
        expected.floats("weighted sums", out, sums, tolerance);
    });
}

#[derive(Debug)]
struct Segments {
    count: usize,
    len: usize,
}

#[test]
fn segments_of_any_length_are_summed() {
    // 251 and 10,007 are primes; all above 128 take several steps.
    let cases =
        [(1, 1), (3, 7), (5, 128), (3, 130), (2, 251), (3, 10_007), (3, 12_000), (2, 16_384)]
            .map(|(count, len)| Segments { count, len });
    assert_table(&cases, |&Segments { count, len }, bench, expected| {
        let x = values(1, count * len);
        let x_in = bench.floats(&x);
        let out = bench.rec.transient("sums", count);
        let view = View::whole(&bench.rec, out);
        reduce::sum_segments(&mut bench.rec, x_in, len, view);
        let sums = x.chunks(len).map(|segment| segment.iter().sum()).collect();
        expected.floats("sums", out, sums, Tolerance::sums(&[len], 1.0));
    });
}
