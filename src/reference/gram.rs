//! The inner products of per-example weight gradients in Gram form: from inputs and output
//! gradients alone.

use super::check_len;
use crate::ops::Window;

/// `u_i = ⟨∂f_i/∂w, g⟩` in Gram form, with `g` the weight gradient of a clean batch of `m` that is
/// never formed (Ren et al. 2018, eq. 25):
/// `Σ_j Σ_o Σ_q ⟨patch(x_i, o), patch(clean_x_j, q)⟩ ⟨dy_i(o), clean_dy_j(q)⟩`.
///
/// `x`, `dy` are batches of `n` and `clean_x`, `clean_dy` of `m`; `clean_dy` already carries the
/// clean loss's 1/m. Returns `[n]`.
#[allow(clippy::too_many_arguments, reason = "a twin takes its shape and its slices one by one")]
pub fn similarity(
    win: &Window,
    n: usize,
    m: usize,
    x: &[f64],
    dy: &[f64],
    clean_x: &[f64],
    clean_dy: &[f64],
) -> Vec<f64> {
    check_len("x", x, n * win.input_len());
    check_len("dy", dy, n * win.output_len());
    check_len("clean_x", clean_x, m * win.input_len());
    check_len("clean_dy", clean_dy, m * win.output_len());
    let mut u = vec![0.0; n];
    for i in 0..n {
        for j in 0..m {
            for o in 0..win.out_positions() {
                for q in 0..win.out_positions() {
                    let mut inputs = 0.0;
                    for (p, clean_p) in shared_taps(win, o, q) {
                        for ci in 0..win.in_channels {
                            inputs += x[win.input_index(i, p, ci)]
                                * clean_x[win.input_index(j, clean_p, ci)];
                        }
                    }
                    let mut gradients = 0.0;
                    for co in 0..win.out_channels {
                        gradients +=
                            dy[win.output_index(i, o, co)] * clean_dy[win.output_index(j, q, co)];
                    }
                    u[i] += inputs * gradients;
                }
            }
        }
    }
    u
}

/// The pairs of input pixels under the same tap in the windows of output pixels `o` and `q`.
fn shared_taps(win: &Window, o: usize, q: usize) -> impl Iterator<Item = (usize, usize)> {
    win.taps(o).filter_map(move |(tap, p)| Some((p, win.input_position(q, tap)?)))
}
