//! Convolutions as matrix products that are staged through workgroup memory.

use super::direct::{FIXED_SIZES, GEOMETRY};
use super::{View, Window};
use crate::gpu::{Kernel, Part, Recorder, Staging, TensorId, Tuning};
use crate::ops::parts::wgsl;
use crate::ops::staged::{self, Rounding, STEP, Tiles};

/// The staged kernels of convolutions.
#[derive(Clone, Copy, Debug)]
enum Family {
    /// Forward passes, tangents and what similarities are made of.
    Forward,
    /// Gradients of the input.
    Transposed,
    /// Gradients of the weights.
    WeightGradient,
}

impl Family {
    fn kernel(self, entry: &'static str, staging: Staging) -> Kernel {
        const TAPS: Part = wgsl!("conv/common/taps");
        let (name, rounding, own): (_, _, &[Part]) = match self {
            Self::Forward => {
                let own = &[GEOMETRY, FIXED_SIZES, TAPS, wgsl!("conv/staged/forward")];
                ("conv_staged_forward", Rounding::Never, own)
            }
            Self::Transposed => {
                let own = &[GEOMETRY, FIXED_SIZES, TAPS, wgsl!("conv/staged/transposed")];
                ("conv_staged_transposed", Rounding::Allowed, own)
            }
            Self::WeightGradient => {
                let own = &[GEOMETRY, FIXED_SIZES, wgsl!("conv/staged/weight_gradient")];
                ("conv_staged_weight_gradient", Rounding::Allowed, own)
            }
        };
        staged::kernel(name, own, entry, (staging, rounding))
    }
}

/// A convolution of a batch that is to be staged.
#[derive(Clone, Copy, Debug)]
pub struct Staged {
    window: Window,
    images: usize,
    staging: Staging,
}

impl Staged {
    /// The convolution of `n` images, if it has enough channels and these come by fours.
    pub fn of(w: &Window, n: usize, tuning: Tuning) -> Option<Self> {
        let staging = tuning.staging?;
        let suits = |channels: usize| channels.is_multiple_of(4) && channels >= staging.channels;
        let staged = suits(w.in_channels) && suits(w.out_channels);
        staged.then_some(Self { window: *w, images: n, staging })
    }

    fn out_pixels(&self) -> usize {
        self.images * self.window.out_positions()
    }

    fn flops(&self) -> u64 {
        self.images as u64 * self.window.flops()
    }

    fn kernel(&self, family: Family, entry: &'static str, tiles: &Tiles, slices: usize) -> Kernel {
        let w = &self.window;
        let kernel = family
            .kernel(entry, self.staging)
            .size("IMAGES", self.images)
            .size("HEIGHT", w.height)
            .size("WIDTH", w.width)
            .size("IN_BLOCKS", w.in_channels / 4)
            .size("OUT_BLOCKS", w.out_channels / 4)
            .size("OUT_HEIGHT", w.out_height)
            .size("OUT_WIDTH", w.out_width)
            .size("PAD_TOP", w.pad_top)
            .size("PAD_LEFT", w.pad_left)
            .header("KERNEL_H", w.kernel_h as u32)
            .header("KERNEL_W", w.kernel_w as u32)
            .header("STRIDE", w.stride as u32);
        tiles.constants(kernel, slices)
    }

    /// `z = conv(x, weights)`, plus `addend` if given.
    pub fn forward(
        &self,
        rec: &mut Recorder,
        x: TensorId,
        weights: View,
        addend: Option<TensorId>,
        z: TensorId,
    ) {
        let tiles = Tiles::of(self.out_pixels(), self.window.out_channels, self.staging);
        let kernel = self
            .kernel(Family::Forward, "forward", &tiles, 1)
            .constant("HAS_ADDEND", addend.is_some());
        let addend = addend.map_or(weights.read(), |addend| rec.read(addend));
        let bindings = vec![rec.read(x), weights.read(), rec.write(z), addend];
        rec.dispatch(kernel, bindings, tiles.grid(1), self.flops());
    }

    /// `conv(x, weights)` and its tangent `conv(dx, weights) + conv(x, weights_tangent)`, into `z`
    /// and `dz`.
    pub fn dual(
        &self,
        rec: &mut Recorder,
        [x, dx]: [TensorId; 2],
        [weights, weights_tangent]: [View; 2],
        [z, dz]: [TensorId; 2],
    ) {
        let tiles = Tiles::dual(self.out_pixels(), self.window.out_channels);
        let kernel = self.kernel(Family::Forward, "dual", &tiles, 1);
        let bindings = vec![
            rec.read(x),
            weights.read(),
            rec.read(dx),
            weights_tangent.read(),
            rec.write(z),
            rec.write(dz),
        ];
        rec.dispatch(kernel, bindings, tiles.grid(1), 3 * self.flops());
    }

    /// Gradient of the input for an output gradient `dy`, into `dx`.
    pub fn input_gradient(&self, rec: &mut Recorder, dy: TensorId, weights: View, dx: TensorId) {
        let w = &self.window;
        let phases = w.stride * w.stride;
        let pixels = self.images * w.height.div_ceil(w.stride) * w.width.div_ceil(w.stride);
        let tiles = Tiles::of(pixels, w.in_channels, self.staging);
        let kernel = self.kernel(Family::Transposed, "transposed", &tiles, phases);
        let bindings = vec![rec.read(dy), weights.read(), rec.write(dx)];
        rec.dispatch(kernel, bindings, tiles.grid(phases), self.flops());
    }

    /// ⟨dy, conv(x, clean_gradient)⟩ of each pixel and block of 4 channels:
    /// `[n, out_height, out_width, out_channels / 4]`.
    pub fn similarity(
        &self,
        rec: &mut Recorder,
        x: TensorId,
        dy: TensorId,
        clean_gradient: View,
    ) -> TensorId {
        let w = &self.window;
        let tiles = Tiles::of(self.out_pixels(), w.out_channels, self.staging);
        let dots = rec.transient("similarity of pixels", self.images * w.output_len() / 4);
        let kernel = self.kernel(Family::Forward, "similarity", &tiles, 1);
        let bindings = vec![rec.read(x), clean_gradient.read(), rec.read(dy), rec.write(dots)];
        let flops = self.flops() + 2 * (self.images * w.output_len()) as u64;
        rec.dispatch(kernel, bindings, tiles.grid(1), flops);
        dots
    }

    /// Sums of the weight gradient over splits of the output pixels:
    /// `[splits, kernel_h, kernel_w, in, out]`.
    pub fn split_sums(
        &self,
        rec: &mut Recorder,
        x: TensorId,
        dy: TensorId,
        weights: Option<TensorId>,
    ) -> TensorId {
        let w = &self.window;
        let tiles = Tiles::of_splits(w.patch_len(), w.out_channels, self.staging);
        let wanted = self.staging.workgroups.div_ceil(tiles.count()).max(1);
        let pixels = self.out_pixels().div_ceil(wanted).next_multiple_of(STEP);
        let splits = self.out_pixels().div_ceil(pixels);
        let sums = rec.transient("weight gradient of splits", splits * w.weight_len());
        let kernel = self
            .kernel(Family::WeightGradient, "split_sums", &tiles, splits)
            .size("PIXELS", pixels)
            .constant("WEIGHTED", weights.is_some());
        let bindings =
            vec![rec.read(x), rec.read(dy), rec.read(weights.unwrap_or(x)), rec.write(sums)];
        rec.dispatch(kernel, bindings, tiles.grid(splits), self.flops());
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::{Staged, Window};
    use crate::gpu::Tuning;

    fn is_staged(in_channels: usize, out_channels: usize, tuning: Tuning) -> bool {
        let window = Window::same(8, 8, in_channels, out_channels, 3, 1);
        Staged::of(&window, 2, tuning).is_some()
    }

    #[test]
    fn layers_with_many_channels_by_fours_are_staged_on_a_gpu_only() {
        let least = Tuning::GPU.staging.expect("GPUs stage").channels;
        assert!(is_staged(least, least, Tuning::GPU));
        assert!(!is_staged(least - 4, least, Tuning::GPU));
        assert!(!is_staged(least, least - 4, Tuning::GPU));
        assert!(!is_staged(least + 1, least, Tuning::GPU));
        assert!(!is_staged(least, least + 2, Tuning::GPU));
        assert!(!is_staged(least, least, Tuning::SOFTWARE));
    }
}
