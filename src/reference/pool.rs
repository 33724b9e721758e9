//! Pooling over windows and over whole images. A pooling window has as many output channels as
//! input channels.

use super::check_len;
use crate::ops::Window;

/// The tap that [`max_forward`] names for a window that lies in the padding altogether.
pub const NO_TAP: u32 = u32::MAX;

#[track_caller]
fn check_channels(win: &Window) {
    assert!(
        win.in_channels == win.out_channels,
        "pooling {} channels cannot give {}",
        win.in_channels,
        win.out_channels
    );
}

/// Max pooling. `x` is the input batch; returns the output batch and, in its shape, the kernel
/// pixel (`ky · kernel_w + kx`) that won.
///
/// The first maximum wins and padding never does; a NaN wins over every number, and the last of
/// several, as in PyTorch. A window without a pixel of the image gives 0 and [`NO_TAP`].
pub fn max_forward(win: &Window, n: usize, x: &[f64]) -> (Vec<f64>, Vec<u32>) {
    check_channels(win);
    check_len("x", x, n * win.input_len());
    let mut y = vec![0.0; n * win.output_len()];
    let mut argmax = vec![NO_TAP; n * win.output_len()];
    for i in 0..n {
        for o in 0..win.out_positions() {
            for c in 0..win.out_channels {
                let out = win.output_index(i, o, c);
                for (tap, p) in win.taps(o) {
                    let value = x[win.input_index(i, p, c)];
                    if argmax[out] == NO_TAP || value > y[out] || value.is_nan() {
                        y[out] = value;
                        argmax[out] = tap as u32;
                    }
                }
            }
        }
    }
    (y, argmax)
}

/// Calls `pair(y, x)` with the element indices of every output and the input that won it.
fn for_each_winner(win: &Window, n: usize, argmax: &[u32], mut pair: impl FnMut(usize, usize)) {
    check_len("argmax", argmax, n * win.output_len());
    for i in 0..n {
        for o in 0..win.out_positions() {
            for c in 0..win.out_channels {
                let out = win.output_index(i, o, c);
                if argmax[out] == NO_TAP {
                    continue;
                }
                if let Some(p) = win.input_position(o, argmax[out] as usize) {
                    pair(out, win.input_index(i, p, c));
                }
            }
        }
    }
}

/// The tangent of max pooling: gathers the tangent `dx` of the input batch at the winners.
pub fn max_tangent(win: &Window, n: usize, argmax: &[u32], dx: &[f64]) -> Vec<f64> {
    check_channels(win);
    check_len("dx", dx, n * win.input_len());
    let mut dy = vec![0.0; n * win.output_len()];
    for_each_winner(win, n, argmax, |y, x| dy[y] = dx[x]);
    dy
}

/// The gradient with respect to the input: scatters the gradient `dy` of the output batch to the
/// winners.
pub fn max_backward(win: &Window, n: usize, argmax: &[u32], dy: &[f64]) -> Vec<f64> {
    check_channels(win);
    check_len("dy", dy, n * win.output_len());
    let mut dx = vec![0.0; n * win.input_len()];
    for_each_winner(win, n, argmax, |y, x| dx[x] += dy[y]);
    dx
}

/// Average pooling of the input batch `x`, its own tangent. Padding does not count; a window
/// without a pixel of the image gives 0.
pub fn average_forward(win: &Window, n: usize, x: &[f64]) -> Vec<f64> {
    check_channels(win);
    check_len("x", x, n * win.input_len());
    let mut y = vec![0.0; n * win.output_len()];
    for i in 0..n {
        for o in 0..win.out_positions() {
            let count = win.taps(o).count() as f64;
            for (_, p) in win.taps(o) {
                for c in 0..win.out_channels {
                    y[win.output_index(i, o, c)] += x[win.input_index(i, p, c)] / count;
                }
            }
        }
    }
    y
}

/// The gradient of average pooling with respect to the input, from the gradient `dy` of the output
/// batch.
pub fn average_backward(win: &Window, n: usize, dy: &[f64]) -> Vec<f64> {
    check_channels(win);
    check_len("dy", dy, n * win.output_len());
    let mut dx = vec![0.0; n * win.input_len()];
    for i in 0..n {
        for o in 0..win.out_positions() {
            let count = win.taps(o).count() as f64;
            for (_, p) in win.taps(o) {
                for c in 0..win.out_channels {
                    dx[win.input_index(i, p, c)] += dy[win.output_index(i, o, c)] / count;
                }
            }
        }
    }
    dx
}

/// The mean over positions, its own tangent: `x` is `[n, positions, channels]`. Returns
/// `[n, channels]`.
pub fn global_average_forward(n: usize, positions: usize, channels: usize, x: &[f64]) -> Vec<f64> {
    check_len("x", x, n * positions * channels);
    let mut y = vec![0.0; n * channels];
    for i in 0..n {
        for p in 0..positions {
            for c in 0..channels {
                y[i * channels + c] += x[(i * positions + p) * channels + c] / positions as f64;
            }
        }
    }
    y
}

/// The gradient of the mean over positions: `dy` is `[n, channels]`. Returns
/// `[n, positions, channels]`.
pub fn global_average_backward(
    n: usize,
    positions: usize,
    channels: usize,
    dy: &[f64],
) -> Vec<f64> {
    check_len("dy", dy, n * channels);
    let mut dx = vec![0.0; n * positions * channels];
    for i in 0..n {
        for p in 0..positions {
            for c in 0..channels {
                dx[(i * positions + p) * channels + c] = dy[i * channels + c] / positions as f64;
            }
        }
    }
    dx
}

#[cfg(test)]
mod tests {
    use super::{NO_TAP, average_forward, max_backward, max_forward};
    use crate::ops::Window;

    #[test]
    fn the_first_of_equal_maxima_wins_and_padding_never_does() {
        let win = Window::padded(2, 2, 1, 1, 3, 1, 1);
        let (y, argmax) = max_forward(&win, 1, &[-3.0, -1.0, -1.0, -2.0]);
        assert_eq!(y, [-1.0; 4]);
        assert_eq!(argmax, [5, 4, 2, 1]);
        assert_eq!(max_backward(&win, 1, &argmax, &[1.0; 4]), [0.0, 4.0, 0.0, 0.0]);
    }

    #[test]
    fn the_last_nan_of_a_window_wins() {
        let (y, argmax) = max_forward(&Window::global(1, 4, 1), 1, &[1.0, f64::NAN, f64::NAN, 2.0]);
        assert!(y[0].is_nan() && argmax == [2], "{y:?} {argmax:?}");
    }

    #[test]
    fn a_window_outside_the_image_gives_zero() {
        let win = Window::padded(1, 1, 1, 1, 1, 1, 1);
        let (y, argmax) = max_forward(&win, 1, &[7.0]);
        assert_eq!((y[0], argmax[0]), (0.0, NO_TAP));
        assert_eq!((y[4], argmax[4]), (7.0, 0));
        assert_eq!(average_forward(&win, 1, &[7.0])[0], 0.0);
    }

    #[test]
    fn the_average_leaves_padding_out_of_the_count() {
        let win = Window::same(1, 3, 1, 1, 2, 2);
        assert_eq!(average_forward(&win, 1, &[1.0, 3.0, 5.0]), [2.0, 5.0]);
    }
}
