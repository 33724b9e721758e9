//! Which pixels an output of a convolution or a pooling layer sees.

/// A window that slides over an image: geometry of a convolution or pooling layer.
///
/// A linear layer is the window that covers a 1×1 image of `in_channels` features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Rows of the input image.
    pub height: usize,
    /// Columns of the input image.
    pub width: usize,
    /// Channels of the input image.
    pub in_channels: usize,
    /// Rows of the kernel.
    pub kernel_h: usize,
    /// Columns of the kernel.
    pub kernel_w: usize,
    /// Step between neighbouring outputs, in both directions.
    pub stride: usize,
    /// Zero rows above the image.
    pub pad_top: usize,
    /// Zero columns left of the image.
    pub pad_left: usize,
    /// Rows of the output image.
    pub out_height: usize,
    /// Columns of the output image.
    pub out_width: usize,
    /// Channels of the output image.
    pub out_channels: usize,
}

impl Window {
    /// SAME padding as TensorFlow defines it: `out = ceil(in / stride)`, and of an odd number of
    /// padding rows the larger half goes below. `kernel` and `stride` must not be 0.
    pub fn same(
        height: usize,
        width: usize,
        in_channels: usize,
        out_channels: usize,
        kernel: usize,
        stride: usize,
    ) -> Self {
        let out = |size: usize| size.div_ceil(stride);
        let before = |size: usize| {
            let covered = out(size).saturating_sub(1) * stride + kernel;
            covered.saturating_sub(size) / 2
        };
        Self {
            height,
            width,
            in_channels,
            kernel_h: kernel,
            kernel_w: kernel,
            stride,
            pad_top: before(height),
            pad_left: before(width),
            out_height: out(height),
            out_width: out(width),
            out_channels,
        }
    }

    /// The same padding on all sides, as in PyTorch; outputs that would reach further are left
    /// out. `stride` must not be 0; the result has no outputs where the kernel does not fit.
    pub fn padded(
        height: usize,
        width: usize,
        in_channels: usize,
        out_channels: usize,
        kernel: usize,
        stride: usize,
        pad: usize,
    ) -> Self {
        let out = |size: usize| (size + 2 * pad).checked_sub(kernel).map_or(0, |r| r / stride + 1);
        Self {
            height,
            width,
            in_channels,
            kernel_h: kernel,
            kernel_w: kernel,
            stride,
            pad_top: pad,
            pad_left: pad,
            out_height: out(height),
            out_width: out(width),
            out_channels,
        }
    }

    /// A linear layer.
    pub fn linear(inputs: usize, outputs: usize) -> Self {
        Self::same(1, 1, inputs, outputs, 1, 1)
    }

    /// Whether this is a linear layer: one pixel in, one pixel out.
    pub fn is_linear(&self) -> bool {
        let one_pixel = self.height * self.width * self.out_positions() == 1;
        let one_tap = self.kernel_h * self.kernel_w == 1;
        one_pixel && one_tap && self.pad_top + self.pad_left == 0
    }

    /// A window that covers the whole image: global pooling.
    pub fn global(height: usize, width: usize, channels: usize) -> Self {
        Self {
            kernel_h: height,
            kernel_w: width,
            out_height: 1,
            out_width: 1,
            ..Self::padded(height, width, channels, channels, 1, 1, 0)
        }
    }

    /// Elements of one input image.
    pub fn input_len(&self) -> usize {
        self.height * self.width * self.in_channels
    }

    /// Positions of one output image.
    pub fn out_positions(&self) -> usize {
        self.out_height * self.out_width
    }

    /// Elements of one output image.
    pub fn output_len(&self) -> usize {
        self.out_positions() * self.out_channels
    }

    /// Elements of the input that one output position sees: kernel area × input channels.
    pub fn patch_len(&self) -> usize {
        self.kernel_h * self.kernel_w * self.in_channels
    }

    /// Elements of the weight tensor `[kernel_h, kernel_w, in_channels, out_channels]`.
    pub fn weight_len(&self) -> usize {
        self.patch_len() * self.out_channels
    }

    /// Floating point operations of one convolution of one image.
    pub fn flops(&self) -> u64 {
        2 * (self.weight_len() * self.out_positions()) as u64
    }
}
