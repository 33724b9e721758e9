//! Maxima and averages over windows, with their tangents and gradients.

use super::parts::{GRID, Lanes, wgsl};
use super::{Window, per_element};
use crate::gpu::{Binding, ElementType, Kernel, Part, Recorder, Shader, TensorId, Tuning};

/// How the winners of windows lie in storage: the axis `pool/taps`.
fn taps_part(lanes: Lanes) -> Part {
    match lanes {
        Lanes::Scalar => wgsl!("pool/taps", "single"),
        _ => wgsl!("pool/taps", "packed"),
    }
}

/// Channels of an invocation, which share a word of winners: 4 where their taps fit into bytes.
pub fn lanes(w: &Window) -> usize {
    let fits = w.kernel_h * w.kernel_w <= 256;
    if fits && w.in_channels.is_multiple_of(4) { 4 } else { 1 }
}

/// Every window must see a pixel of the image.
fn kernel(entry: &'static str, w: &Window, tuning: Tuning) -> Kernel {
    let lanes = Lanes::of(&[lanes(w)], tuning);
    let parts = [GRID, lanes.part(), taps_part(lanes), wgsl!("pool/pool")];
    Kernel::new(Shader::joined("pool", parts), entry)
        .size("HEIGHT", w.height)
        .size("WIDTH", w.width)
        .size("CHANNELS", w.in_channels)
        .size("KERNEL_H", w.kernel_h)
        .size("KERNEL_W", w.kernel_w)
        .size("STRIDE", w.stride)
        .size("PAD_TOP", w.pad_top)
        .size("PAD_LEFT", w.pad_left)
        .size("OUT_HEIGHT", w.out_height)
        .size("OUT_WIDTH", w.out_width)
}

/// One invocation for each output of the kernel, of `len` elements.
fn record(
    rec: &mut Recorder,
    entry: &'static str,
    w: &Window,
    bindings: Vec<Binding>,
    len: usize,
    flops: u64,
) {
    let kernel = kernel(entry, w, rec.tuning());
    rec.dispatch(kernel, bindings, per_element(len / lanes(w)), flops);
}

fn taps(w: &Window, outputs: usize) -> u64 {
    (outputs * w.kernel_h * w.kernel_w) as u64
}

/// Maximum over each window of `x` `[n, h, w, c]`, and the window's tap where it was found: a word
/// for each output or, of four channels, in the bytes of a word ([`lanes`]).
pub fn max_forward(rec: &mut Recorder, w: &Window, n: usize, x: TensorId) -> (TensorId, TensorId) {
    let len = n * w.output_len();
    let y = rec.transient("max pool", len);
    let winner = rec.transient_of("winner", ElementType::U32, len / lanes(w));
    let bindings = vec![rec.read(x), rec.write(y), rec.write(winner)];
    record(rec, "max_forward", w, bindings, len, taps(w, len));
    (y, winner)
}

/// Tangent of the maximum: the winner's.
pub fn max_tangent(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    dx: TensorId,
    winner: TensorId,
) -> TensorId {
    let len = n * w.output_len();
    let dy = rec.transient("max pool tangent", len);
    let bindings = vec![rec.read(dx), rec.read(winner), rec.write(dy)];
    record(rec, "max_tangent", w, bindings, len, 0);
    dy
}

/// Gradient of the input for an output gradient `dy`.
pub fn max_backward(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    dy: TensorId,
    winner: TensorId,
) -> TensorId {
    let len = n * w.input_len();
    let dx = rec.transient("max pool gradient", len);
    let bindings = vec![rec.read(dy), rec.read(winner), rec.write(dx)];
    let flops = taps(w, n * w.output_len());
    record(rec, "max_backward", w, bindings, len, flops);
    dx
}

/// Mean over the part of each window that lies in the image. Linear: its own tangent.
pub fn average_forward(rec: &mut Recorder, w: &Window, n: usize, x: TensorId) -> TensorId {
    let len = n * w.output_len();
    let y = rec.transient("average pool", len);
    let bindings = vec![rec.read(x), rec.write(y)];
    record(rec, "average_forward", w, bindings, len, taps(w, len));
    y
}

/// Gradient of the input for an output gradient `dy`.
pub fn average_backward(rec: &mut Recorder, w: &Window, n: usize, dy: TensorId) -> TensorId {
    let len = n * w.input_len();
    let dx = rec.transient("average pool gradient", len);
    let bindings = vec![rec.read(dy), rec.write(dx)];
    let flops = taps(w, n * w.output_len());
    record(rec, "average_backward", w, bindings, len, flops);
    dx
}
