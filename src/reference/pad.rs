//! Matrices with zeros behind their rows and columns, or without what lies there.

use super::check_len;

/// `x` `[rows, columns]` of `from` as one of `to`.
pub fn resize(x: &[f64], from: [usize; 2], to: [usize; 2]) -> Vec<f64> {
    check_len("x", x, from[0] * from[1]);
    let mut y = vec![0.0; to[0] * to[1]];
    for row in 0..to[0].min(from[0]) {
        for column in 0..to[1].min(from[1]) {
            y[row * to[1] + column] = x[row * from[1] + column];
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use super::resize;

    #[test]
    fn zeros_come_behind_rows_and_columns_and_go() {
        let (small, large) = ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(resize(&small, [2, 2], [3, 3]), large);
        assert_eq!(resize(&large, [3, 3], [2, 2]), small);
        assert_eq!(resize(&large, [3, 3], [1, 4]), [1.0, 2.0, 0.0, 0.0]);
    }
}
