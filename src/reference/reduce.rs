//! Sums over the rows of a matrix whose rows belong to examples.

use std::ops::Range;

use super::{check_len, example_weight};

/// A matrix `[rows, columns]`, `rows_per_example` consecutive rows an example, of which the columns
/// in `taken` take part.
#[derive(Clone, Debug)]
pub struct ExampleRows<'a> {
    /// `[rows, columns]`
    pub matrix: &'a [f64],
    /// All columns.
    pub columns: usize,
    /// The columns that take part.
    pub taken: Range<usize>,
    /// Consecutive rows that belong to one example.
    pub rows_per_example: usize,
}

impl ExampleRows<'_> {
    fn examples(&self) -> usize {
        self.matrix.len() / (self.columns * self.rows_per_example)
    }

    #[track_caller]
    fn check(&self) {
        let len = self.examples() * self.rows_per_example * self.columns;
        check_len("matrix", self.matrix, len);
    }
}

/// `Σ_row example_weights · matrix[row, taken]`; returns one number for each column taken.
///
/// `example_weights` is `[examples]`, all ones where `None`. Examples of weight 0 are skipped,
/// whatever the matrix holds for them.
pub fn sum_rows(rows: &ExampleRows<'_>, example_weights: Option<&[f64]>) -> Vec<f64> {
    rows.check();
    if let Some(weights) = example_weights {
        check_len("example_weights", weights, rows.examples());
    }
    let mut sums = vec![0.0; rows.taken.len()];
    for row in 0..rows.examples() * rows.rows_per_example {
        let weight = example_weight(example_weights, row / rows.rows_per_example);
        if weight == 0.0 {
            continue;
        }
        for c in 0..sums.len() {
            sums[c] += weight * rows.matrix[row * rows.columns + rows.taken.start + c];
        }
    }
    sums
}

/// `⟨matrix[row, taken], vector⟩` added up over the rows of each example. Returns `[examples]`.
pub fn dot_rows(rows: &ExampleRows<'_>, vector: &[f64]) -> Vec<f64> {
    rows.check();
    check_len("vector", vector, rows.taken.len());
    let mut dots = vec![0.0; rows.examples()];
    for row in 0..rows.examples() * rows.rows_per_example {
        for c in 0..vector.len() {
            let value = rows.matrix[row * rows.columns + rows.taken.start + c];
            dots[row / rows.rows_per_example] += value * vector[c];
        }
    }
    dots
}

/// `⟨x[row], other[row]⟩` for every row of `[rows, columns]`.
pub fn dot_pairs(columns: usize, x: &[f64], other: &[f64]) -> Vec<f64> {
    check_len("other", other, x.len());
    let mut dots = vec![0.0; x.len() / columns];
    for row in 0..dots.len() {
        for column in 0..columns {
            dots[row] += x[row * columns + column] * other[row * columns + column];
        }
    }
    dots
}

#[cfg(test)]
mod tests {
    use super::{ExampleRows, dot_rows, sum_rows};

    const ROWS: ExampleRows<'_> = ExampleRows {
        matrix: &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, f64::NAN, 8.0, 9.0, f64::NAN, 11.0, 12.0],
        columns: 3,
        taken: 1..3,
        rows_per_example: 2,
    };

    #[test]
    fn rows_are_weighted_by_their_example() {
        assert_eq!(sum_rows(&ROWS, None), [26.0, 30.0]);
        assert_eq!(sum_rows(&ROWS, Some(&[2.0, 0.0])), [14.0, 18.0]);
    }

    #[test]
    fn every_example_has_a_product_of_its_own() {
        assert_eq!(dot_rows(&ROWS, &[1.0, 10.0]), [97.0, 229.0]);
    }
}
