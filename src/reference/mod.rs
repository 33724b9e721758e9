//! For people who write and test shaders, and may change between minor versions: the CPU twins of
//! the GPU kernels, in plain `f64` loops.
//!
//! Each file is named after the shader it mirrors and is written to be compared with it by eye: the
//! same functions, the same index arithmetic, no cleverness. They are what the kernels are tested
//! against, and they are tested themselves against finite differences.
//!
//! Activations are flattened NHWC, `[n, height, width, channels]`; convolution weights are
//! `[kernel_h, kernel_w, in_channels, out_channels]`; linear weights `[in, out]`. In the names, `x`
//! is an input and `y` an output; `dx` and `dy` are tangents in a `tangent` or `dual` function
//! (derivatives along one direction) and gradients of the loss elsewhere.
//!
//! # Panics
//!
//! These are internal-truth functions. Every one of them panics on a slice whose length does not
//! match the shapes it is given, naming the slice.

#![allow(
    clippy::needless_range_loop,
    reason = "the loops run over indices as they do in the shaders"
)]

pub mod adamw;
pub mod add;
pub mod batch;
pub mod bias;
pub mod conv;
pub mod dropout;
pub mod example_weights;
pub mod gelu;
pub mod gram;
pub mod import;
pub mod matmul;
pub mod norm;
pub mod not_finite;
pub mod pad;
pub mod pool;
pub mod reduce;
pub mod relu;
pub mod rng;
pub mod sample;
pub mod sgd;
pub mod shortcut;
pub mod softmax_cross_entropy;
pub mod step;

use crate::ops::Window;

/// Index arithmetic of the twins.
impl Window {
    /// Pixels of one input image.
    pub fn in_positions(&self) -> usize {
        self.height * self.width
    }

    /// Pixels of the kernel.
    pub fn kernel_positions(&self) -> usize {
        self.kernel_h * self.kernel_w
    }

    /// Where pixel `p`, channel `ci` of example `i` lies in the input.
    pub fn input_index(&self, i: usize, p: usize, ci: usize) -> usize {
        (i * self.in_positions() + p) * self.in_channels + ci
    }

    /// Where pixel `o`, channel `co` of example `i` lies in the output.
    pub fn output_index(&self, i: usize, o: usize, co: usize) -> usize {
        (i * self.out_positions() + o) * self.out_channels + co
    }

    /// Where kernel pixel `tap` from channel `ci` to channel `co` lies in the weights.
    pub fn weight_index(&self, tap: usize, ci: usize, co: usize) -> usize {
        (tap * self.in_channels + ci) * self.out_channels + co
    }

    /// The input pixel under kernel pixel `tap` in the window of output pixel `o`, or `None` in the
    /// padding. Takes `o < out_positions()` and `tap < kernel_positions()`.
    pub fn input_position(&self, o: usize, tap: usize) -> Option<usize> {
        let y = o / self.out_width * self.stride + tap / self.kernel_w;
        let x = o % self.out_width * self.stride + tap % self.kernel_w;
        let y = y.checked_sub(self.pad_top)?;
        let x = x.checked_sub(self.pad_left)?;
        (y < self.height && x < self.width).then_some(y * self.width + x)
    }

    /// Every `(tap, input pixel)` of the window of output pixel `o`, padding left out.
    pub fn taps(&self, o: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.kernel_positions())
            .filter_map(move |tap| Some((tap, self.input_position(o, tap)?)))
    }
}

#[track_caller]
fn check_len<T>(name: &str, slice: &[T], expected: usize) {
    assert!(
        slice.len() == expected,
        "`{name}` has {} elements where the shapes ask for {expected}",
        slice.len()
    );
}

/// The factor of example `i` in a sum over examples: 1 where no weights are given.
fn example_weight(example_weights: Option<&[f64]>, i: usize) -> f64 {
    example_weights.map_or(1.0, |w| w[i])
}

#[cfg(test)]
mod tests {
    use crate::ops::Window;

    #[test]
    fn same_padding_puts_the_odd_pixel_below_and_to_the_right() {
        let win = Window::same(32, 7, 3, 16, 3, 2);
        assert_eq!((win.out_height, win.out_width), (16, 4));
        assert_eq!((win.pad_top, win.pad_left), (0, 1));
    }

    #[test]
    fn padded_follows_the_floor_rule() {
        let win = Window::padded(8, 7, 1, 1, 3, 2, 1);
        assert_eq!((win.out_height, win.out_width), (4, 4));
        assert_eq!(Window::padded(2, 2, 1, 1, 5, 1, 1).out_positions(), 0);
    }

    #[test]
    fn taps_leave_the_padding_out() {
        let win = Window::padded(3, 4, 1, 1, 3, 1, 1);
        let corner: Vec<_> = win.taps(0).collect();
        assert_eq!(corner, [(4, 0), (5, 1), (7, 4), (8, 5)]);
        assert_eq!(win.taps(5).count(), 9);
    }

    #[test]
    fn a_linear_layer_is_one_tap() {
        let win = Window::linear(5, 3);
        assert_eq!((win.input_len(), win.output_len(), win.weight_len()), (5, 3, 15));
        assert_eq!(win.taps(0).collect::<Vec<_>>(), [(0, 0)]);
    }
}
