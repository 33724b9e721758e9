use super::{GRID, Window, per_element};
use crate::gpu::{ElementType, Kernel, Recorder, Shader, TensorId};

/// `shaders/pool.wgsl`. Every window must see a pixel of the image.
pub static SHADER: Shader =
    Shader { name: "pool", parts: &[GRID, include_str!("../../shaders/pool.wgsl")] };

fn kernel(entry: &'static str, w: &Window) -> Kernel {
    Kernel::new(&SHADER, entry)
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

fn taps(w: &Window, outputs: usize) -> u64 {
    (outputs * w.kernel_h * w.kernel_w) as u64
}

/// Maximum over each window of `x` `[n, h, w, c]`, and the window's tap where it was found.
pub fn max_forward(rec: &mut Recorder, w: &Window, n: usize, x: TensorId) -> (TensorId, TensorId) {
    let len = n * w.output_len();
    let y = rec.transient("max pool", len);
    let winner = rec.transient_of("winner", ElementType::U32, len);
    let bindings = vec![rec.read(x), rec.write(y), rec.write(winner)];
    rec.dispatch(kernel("max_forward", w), bindings, per_element(len), taps(w, len));
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
    rec.dispatch(kernel("max_tangent", w), bindings, per_element(len), 0);
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
    rec.dispatch(kernel("max_backward", w), bindings, per_element(len), flops);
    dx
}

/// Mean over the part of each window that lies in the image. Linear: its own tangent.
pub fn average_forward(rec: &mut Recorder, w: &Window, n: usize, x: TensorId) -> TensorId {
    let len = n * w.output_len();
    let y = rec.transient("average pool", len);
    let bindings = vec![rec.read(x), rec.write(y)];
    rec.dispatch(kernel("average_forward", w), bindings, per_element(len), taps(w, len));
    y
}

/// Gradient of the input for an output gradient `dy`.
pub fn average_backward(rec: &mut Recorder, w: &Window, n: usize, dy: TensorId) -> TensorId {
    let len = n * w.input_len();
    let dx = rec.transient("average pool gradient", len);
    let bindings = vec![rec.read(dy), rec.write(dx)];
    let flops = taps(w, n * w.output_len());
    rec.dispatch(kernel("average_backward", w), bindings, per_element(len), flops);
    dx
}
