//! Matrix products, row-major.

use super::check_len;

/// `a · b` for `a[m, k]`, `b[k, n]`: the forward pass of a linear layer. Returns `[m, n]`.
pub fn nn(m: usize, k: usize, n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    check_len("a", a, m * k);
    check_len("b", b, k * n);
    let mut c = vec![0.0; m * n];
    for row in 0..m {
        for col in 0..n {
            for l in 0..k {
                c[row * n + col] += a[row * k + l] * b[l * n + col];
            }
        }
    }
    c
}

/// `a · bᵀ` for `a[m, k]`, `b[n, k]`: the input gradient of a linear layer. Returns `[m, n]`.
pub fn nt(m: usize, k: usize, n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    check_len("a", a, m * k);
    check_len("b", b, n * k);
    let mut c = vec![0.0; m * n];
    for row in 0..m {
        for col in 0..n {
            for l in 0..k {
                c[row * n + col] += a[row * k + l] * b[col * k + l];
            }
        }
    }
    c
}

/// `aᵀ · b` for `a[k, m]`, `b[k, n]`: the weight gradient of a linear layer. Returns `[m, n]`.
pub fn tn(m: usize, k: usize, n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    check_len("a", a, k * m);
    check_len("b", b, k * n);
    let mut c = vec![0.0; m * n];
    for row in 0..m {
        for col in 0..n {
            for l in 0..k {
                c[row * n + col] += a[l * m + row] * b[l * n + col];
            }
        }
    }
    c
}

#[cfg(test)]
mod tests {
    use super::{nn, nt, tn};

    const A: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    const A_TRANSPOSED: [f64; 6] = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
    const B: [f64; 12] = [1., 0., 2., -1., 3., 1., 0., 2., -2., 4., 1., 0.];
    const B_TRANSPOSED: [f64; 12] = [1., 3., -2., 0., 1., 4., 2., 0., 1., -1., 2., 0.];
    const PRODUCT: [f64; 8] = [1., 14., 5., 3., 7., 29., 14., 6.];

    #[test]
    fn the_three_transpositions_agree_with_a_product_by_hand() {
        assert_eq!(nn(2, 3, 4, &A, &B), PRODUCT);
        assert_eq!(nt(2, 3, 4, &A, &B_TRANSPOSED), PRODUCT);
        assert_eq!(tn(2, 3, 4, &A_TRANSPOSED, &B), PRODUCT);
    }
}
