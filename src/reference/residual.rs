//! The residual sum with a parameter-free shortcut, as in the official CIFAR networks: average
//! pooling by the stride, then zero channels on both sides.
//!
//! The [`Window`] is [`shortcut_window`]'s. Where the stride does not divide the image its output is
//! `floor(size / stride)` a side, one pixel short of a `SAME` convolution of the same stride.

use super::{Window, check_len};

/// The window of a shortcut from `[n, height, width, in_channels]` to
/// `[n, height / stride, width / stride, out_channels]`.
pub fn shortcut_window(
    height: usize,
    width: usize,
    in_channels: usize,
    out_channels: usize,
    stride: usize,
) -> Window {
    let stride = stride.max(1);
    Window::padded(height, width, in_channels, out_channels, stride, stride, 0)
}

#[track_caller]
fn channels_before(win: &Window) -> usize {
    assert!(
        win.in_channels <= win.out_channels,
        "a parameter-free shortcut cannot take {} channels to {}",
        win.in_channels,
        win.out_channels
    );
    (win.out_channels - win.in_channels) / 2
}

/// The shortcut alone, its own tangent: `x` is the input batch. Returns the output batch.
///
/// # Panics
///
/// Where there are fewer output channels than input channels.
pub fn shortcut(win: &Window, n: usize, x: &[f64]) -> Vec<f64> {
    check_len("x", x, win.input_len(n));
    let before = channels_before(win);
    let count = win.kernel_positions() as f64;
    let mut y = vec![0.0; win.output_len(n)];
    for i in 0..n {
        for o in 0..win.out_positions() {
            for (_, p) in win.taps(o) {
                for c in 0..win.in_channels {
                    y[win.output_index(i, o, before + c)] += x[win.input_index(i, p, c)] / count;
                }
            }
        }
    }
    y
}

/// The gradient of the shortcut with respect to its input, from the gradient `dy` of the output
/// batch. The other branch's gradient is `dy` itself.
///
/// # Panics
///
/// Where there are fewer output channels than input channels.
pub fn shortcut_backward(win: &Window, n: usize, dy: &[f64]) -> Vec<f64> {
    check_len("dy", dy, win.output_len(n));
    let before = channels_before(win);
    let count = win.kernel_positions() as f64;
    let mut dx = vec![0.0; win.input_len(n)];
    for i in 0..n {
        for o in 0..win.out_positions() {
            for (_, p) in win.taps(o) {
                for c in 0..win.in_channels {
                    dx[win.input_index(i, p, c)] += dy[win.output_index(i, o, before + c)] / count;
                }
            }
        }
    }
    dx
}

/// `main + shortcut(x)`, its own tangent: `main` is an output batch, `x` the input batch.
///
/// # Panics
///
/// Where there are fewer output channels than input channels.
pub fn forward(win: &Window, n: usize, main: &[f64], x: &[f64]) -> Vec<f64> {
    check_len("main", main, win.output_len(n));
    let mut out = shortcut(win, n, x);
    for at in 0..out.len() {
        out[at] += main[at];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{forward, shortcut_window};

    #[test]
    fn the_odd_zero_channel_comes_last() {
        let win = shortcut_window(2, 2, 1, 4, 2);
        let out = forward(&win, 1, &[10.0, 20.0, 30.0, 40.0], &[1.0, 2.0, 3.0, 6.0]);
        assert_eq!(out, [10.0, 23.0, 30.0, 40.0]);
    }
}
