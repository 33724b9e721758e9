//! Similarities in Gram form: from inputs and output gradients, without G.

use super::parts::{GRID, wgsl};
use super::{View, Window, matmul, per_element, reduce};
use crate::gpu::{Kernel, Recorder, Shader, TensorId};

/// `shaders/gram.wgsl`
static SHADER: Shader = Shader::new("gram", &[GRID, wgsl!("gram")]);

/// Inputs and output gradients of a layer in the clean pass.
#[derive(Clone, Copy, Debug)]
pub struct Clean {
    /// Clean examples.
    pub m: usize,
    /// `[m, h, w, in]`
    pub x: TensorId,
    /// `[m, h', w', out]`, of the mean clean loss: it carries 1/m.
    pub dy: TensorId,
}

/// Floating point operations of [`similarity`].
pub fn flops(w: &Window, n: usize, m: usize) -> u64 {
    let pixels = w.out_positions();
    2 * (n * m * pixels * pixels * (w.patch_len() + w.out_channels)) as u64
}

/// Whether pairs of output pixels cost less than the gradient form.
pub fn is_cheaper(w: &Window, n: usize, m: usize) -> bool {
    // The gradient form also needs G_l, which takes the clean pass another forward's worth.
    flops(w, n, m) < (n + m) as u64 * w.flops()
}

/// ⟨∂f_i/∂weights, G⟩ for each example in Gram form, Σ over clean images and pairs of output
/// pixels of ⟨patches⟩⟨gradients⟩, into `out` `[n]`. Needs no G. For a linear layer
/// (1/m) Σ_j ⟨a_j, a_i⟩⟨g_j, g_i⟩ (Ren et al., 2018, equation 25).
pub fn similarity(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    x: TensorId,
    dy: TensorId,
    clean: Clean,
    out: View,
) {
    if w.is_linear() {
        return linear_similarity(rec, w, n, x, dy, clean, out);
    }
    let per_example = w.out_positions() * clean.m;
    let dots = rec.transient("Gram sums of pixels", n * per_example);
    let kernel = Kernel::new(&SHADER, "pixel_dots")
        .size("EXAMPLES", n)
        .size("CLEAN", clean.m)
        .size("HEIGHT", w.height)
        .size("WIDTH", w.width)
        .size("IN", w.in_channels)
        .size("OUT", w.out_channels)
        .size("OUT_HEIGHT", w.out_height)
        .size("OUT_WIDTH", w.out_width)
        .size("KERNEL_H", w.kernel_h)
        .size("KERNEL_W", w.kernel_w)
        .size("STRIDE", w.stride)
        .size("PAD_TOP", w.pad_top)
        .size("PAD_LEFT", w.pad_left);
    let bindings =
        vec![rec.read(x), rec.read(dy), rec.read(clean.x), rec.read(clean.dy), rec.write(dots)];
    rec.dispatch(kernel, bindings, per_element(n * per_example), flops(w, n, clean.m));
    reduce::sum_segments(rec, dots, per_example, out);
}

/// The same for a layer of one pixel: two matrix products of all pairs of examples.
fn linear_similarity(
    rec: &mut Recorder,
    w: &Window,
    n: usize,
    x: TensorId,
    dy: TensorId,
    clean: Clean,
    out: View,
) {
    let inputs = matmul::nt(rec, n, w.in_channels, clean.m, x, clean.x);
    let gradients = matmul::nt(rec, n, w.out_channels, clean.m, dy, clean.dy);
    reduce::dot_pairs(rec, clean.m, inputs, gradients, out);
}
