//! The residual sum with a parameter-free shortcut, as in the official CIFAR networks: average
//! pooling by the stride, then zero channels on both sides.

use super::check_len;
use crate::ops::Window;
use crate::ops::shortcut::Shortcut;

/// The pooling of a shortcut: windows side by side, cut off at the lower and the right edge.
#[track_caller]
fn window(s: &Shortcut) -> Window {
    assert!(
        s.in_channels <= s.out_channels,
        "a parameter-free shortcut cannot take {} channels to {}",
        s.in_channels,
        s.out_channels
    );
    let same = Window::same(s.height, s.width, s.in_channels, s.out_channels, s.stride, s.stride);
    Window { pad_top: 0, pad_left: 0, ..same }
}

/// Calls `pair(y, x, share)` with the element indices of every output and input of the shortcut
/// that meet, and the factor between them.
#[track_caller]
fn for_each_pair(s: &Shortcut, n: usize, mut pair: impl FnMut(usize, usize, f64)) {
    let win = window(s);
    let before = (s.out_channels - s.in_channels) / 2;
    for i in 0..n {
        for o in 0..win.out_positions() {
            let share = 1.0 / win.taps(o).count() as f64;
            for (_, p) in win.taps(o) {
                for c in 0..s.in_channels {
                    pair(win.output_index(i, o, before + c), win.input_index(i, p, c), share);
                }
            }
        }
    }
}

/// `main + shortcut(x)`, its own tangent: `main` is an output batch, `x` the input batch. Returns
/// an output batch.
///
/// # Panics
///
/// Where there are fewer output channels than input channels.
pub fn forward(s: &Shortcut, n: usize, main: &[f64], x: &[f64]) -> Vec<f64> {
    check_len("main", main, n * s.output_len());
    check_len("x", x, n * s.input_len());
    let mut out = main.to_vec();
    for_each_pair(s, n, |y, x_at, share| out[y] += share * x[x_at]);
    out
}

/// The gradient of the shortcut with respect to its input, from the gradient `dy` of the output
/// batch. The other branch's gradient is `dy` itself.
///
/// # Panics
///
/// Where there are fewer output channels than input channels.
pub fn backward(s: &Shortcut, n: usize, dy: &[f64]) -> Vec<f64> {
    check_len("dy", dy, n * s.output_len());
    let mut dx = vec![0.0; n * s.input_len()];
    for_each_pair(s, n, |y, x, share| dx[x] += share * dy[y]);
    dx
}

#[cfg(test)]
mod tests {
    use super::forward;
    use crate::ops::shortcut::Shortcut;

    #[test]
    fn the_odd_zero_channel_comes_last() {
        let s = Shortcut { height: 2, width: 2, in_channels: 1, out_channels: 4, stride: 2 };
        let out = forward(&s, 1, &[10.0, 20.0, 30.0, 40.0], &[1.0, 2.0, 3.0, 6.0]);
        assert_eq!(out, [10.0, 23.0, 30.0, 40.0]);
    }

    #[test]
    fn windows_at_the_edge_average_what_is_left_of_the_image() {
        let s = Shortcut { height: 1, width: 3, in_channels: 1, out_channels: 1, stride: 2 };
        assert_eq!(forward(&s, 1, &[0.0; 2], &[1.0, 3.0, 5.0]), [2.0, 5.0]);
    }
}
