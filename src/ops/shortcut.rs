//! Residual sums whose shortcut has no parameters.

use super::parts::{Lanes, wgsl};
use super::per_element;
use crate::gpu::{Kernel, Recorder, TensorId, Tuning};

/// A shortcut without parameters: average pooling over `stride`×`stride`, then zero channels on
/// both sides, `(out_channels − in_channels) / 2` of them before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Ratio of the sizes; an output has `ceil(height / stride)` rows.
    pub stride: usize,
}

impl Shortcut {
    /// One that changes nothing.
    pub fn identity(height: usize, width: usize, channels: usize) -> Self {
        let (in_channels, out_channels) = (channels, channels);
        Self { height, width, in_channels, out_channels, stride: 1 }
    }

    /// Whether input and output are the same.
    pub fn is_identity(&self) -> bool {
        self.stride == 1 && self.in_channels == self.out_channels
    }

    /// Elements of one input image.
    pub fn input_len(&self) -> usize {
        self.height * self.width * self.in_channels
    }

    /// Elements of one output image.
    pub fn output_len(&self) -> usize {
        self.height.div_ceil(self.stride) * self.width.div_ceil(self.stride) * self.out_channels
    }

    fn lanes(&self, tuning: Tuning) -> Lanes {
        let before = (self.out_channels - self.in_channels) / 2;
        Lanes::of(&[self.in_channels, self.out_channels, before], tuning)
    }

    /// The grid for one invocation a block of channels.
    fn grid(&self, len: usize, tuning: Tuning) -> [u32; 3] {
        per_element(len / self.lanes(tuning).count())
    }

    fn kernel(&self, entry: &'static str, tuning: Tuning) -> Kernel {
        self.lanes(tuning)
            .kernel("shortcut", wgsl!("shortcut"), entry)
            .size("HEIGHT", self.height)
            .size("WIDTH", self.width)
            .size("IN_CHANNELS", self.in_channels)
            .size("OUT_HEIGHT", self.height.div_ceil(self.stride))
            .size("OUT_WIDTH", self.width.div_ceil(self.stride))
            .size("OUT_CHANNELS", self.out_channels)
            .size("STRIDE", self.stride)
    }
}

/// `main + shortcut(x)`. Linear: its own tangent.
pub fn forward(
    rec: &mut Recorder,
    s: &Shortcut,
    n: usize,
    main: TensorId,
    x: TensorId,
) -> TensorId {
    let len = n * s.output_len();
    let y = rec.transient("residual", len);
    let bindings = vec![rec.read(main), rec.read(x), rec.write(y)];
    let flops = (len + n * s.input_len()) as u64;
    rec.dispatch(s.kernel("forward", rec.tuning()), bindings, s.grid(len, rec.tuning()), flops);
    y
}

/// [`forward`] of values and tangents at once: `main`, `x` and the result are pairs of both.
pub fn dual(
    rec: &mut Recorder,
    s: &Shortcut,
    n: usize,
    main: (TensorId, TensorId),
    x: (TensorId, TensorId),
) -> (TensorId, TensorId) {
    let len = n * s.output_len();
    let y = (rec.transient("residual", len), rec.transient("residual tangent", len));
    let bindings = vec![
        rec.read(main.0),
        rec.read(x.0),
        rec.write(y.0),
        rec.read(main.1),
        rec.read(x.1),
        rec.write(y.1),
    ];
    let flops = 2 * (len + n * s.input_len()) as u64;
    rec.dispatch(s.kernel("dual", rec.tuning()), bindings, s.grid(len, rec.tuning()), flops);
    y
}

/// Gradient of the shortcut's input for an output gradient `dy`.
pub fn backward(rec: &mut Recorder, s: &Shortcut, n: usize, dy: TensorId) -> TensorId {
    let len = n * s.input_len();
    let dx = rec.transient("shortcut gradient", len);
    let bindings = vec![rec.read(dy), rec.write(dx)];
    rec.dispatch(
        s.kernel("backward", rec.tuning()),
        bindings,
        s.grid(len, rec.tuning()),
        len as u64,
    );
    dx
}
