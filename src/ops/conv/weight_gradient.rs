//! Gradients of weights straight from storage: each invocation sums a block over some of the rows.

use super::Window;
use super::direct::{BORDERS, Block, Blocks, FIXED_SIZES, GEOMETRY, Geometry, Loads, SUBGROUP};
use crate::gpu::{Kernel, Recorder, Shader, TensorId, Tuning};
use crate::ops::parts::{GRID, WORKGROUP, wgsl};
use crate::ops::per_element;

/// Kernel columns that the shader writes out.
const WIDEST_UNROLLED_KERNEL: usize = 5;

fn shader(block: Block, loads: Loads, tuning: Tuning) -> Shader {
    let parts = [
        GRID,
        WORKGROUP,
        GEOMETRY,
        BORDERS,
        block.lanes(tuning).part(),
        block.outer_part(),
        loads.invocation(),
        FIXED_SIZES,
        loads.gradients(),
        wgsl!("conv/direct/weight_gradient"),
    ];
    Shader::joined("conv_weight_gradient", parts)
}

impl Blocks {
    /// Output blocks that one invocation of the weight gradient takes. The sums of two fill the
    /// registers of a GPU, some of which spill them.
    fn columns(&self, window: &Window, tuning: Tuning) -> usize {
        let fits = self.block == Block::Vec4Vec4 && window.kernel_w <= 3;
        if tuning.two_blocks && fits && self.output.is_multiple_of(2) { 2 } else { 1 }
    }

    /// Pixels that an invocation takes at a time: fewer where five columns of sums leave a GPU few
    /// registers.
    fn pixels(&self, window: &Window, tuning: Tuning) -> usize {
        let is_shared = self.shared_inputs(window, tuning).is_some();
        if window.kernel_w <= 3 || tuning.two_blocks || is_shared { 4 } else { 2 }
    }

    /// Blocks of input channels of the weight gradients whose loads a subgroup shares, the rest of
    /// it being blocks of output channels, or pairs of them; `None` where no shape of subgroup
    /// divides them.
    fn shared_inputs(&self, window: &Window, tuning: Tuning) -> Option<usize> {
        let columns = self.columns(window, tuning);
        let divides = |inputs: &usize| {
            let outputs = columns * SUBGROUP / inputs;
            // All of a subgroup load an equal share of four pixels.
            outputs > 1 && self.input.is_multiple_of(*inputs) && self.output.is_multiple_of(outputs)
        };
        let fits = self.block == Block::Vec4Vec4 && window.kernel_w <= WIDEST_UNROLLED_KERNEL;
        // A square of blocks loads least.
        [4, 2, 8].into_iter().filter(|_| tuning.shared_loads && fits).find(divides)
    }
}

/// Rows of output pixels of a split, so that an adapter gets enough invocations.
pub(super) fn rows_of_split(g: &Geometry, tuning: Tuning) -> usize {
    let blocks = Blocks::of(&g.window);
    let each = blocks.input * blocks.output * g.window.kernel_h;
    let splits = tuning
        .split_invocations
        .div_ceil(each)
        .max(1)
        .saturating_mul(blocks.columns(&g.window, tuning));
    (g.images * g.window.out_height).div_ceil(splits).max(1)
}

/// Sums over splits of `rows` rows of output pixels: `[splits, kernel_h, kernel_w, in, out]`.
pub(super) fn split_sums(
    rec: &mut Recorder,
    g: &Geometry,
    rows: usize,
    x: TensorId,
    dy: TensorId,
    weights: Option<TensorId>,
) -> TensorId {
    let w = &g.window;
    let blocks = Blocks::of(w);
    let splits = (g.images * w.out_height).div_ceil(rows);
    let shared = blocks.shared_inputs(w, rec.tuning());
    let loads = if shared.is_some() { Loads::Shared } else { Loads::Own };
    let shader = shader(blocks.block, loads, rec.tuning());
    let columns = blocks.columns(w, rec.tuning());
    let pixels = blocks.pixels(w, rec.tuning());
    let last_pixels = (w.out_width - 1) / pixels * pixels;
    let mut kernel = g
        .constants(Kernel::new(shader, "split_sums"))
        .size("SPLITS", splits)
        .size("ROWS", rows)
        .header("COLUMNS", columns as u32)
        .header("PIXELS", pixels as u32)
        .size("SAFE_FROM", w.pad_left)
        .size("SAFE_TO", (w.width + w.pad_left).saturating_sub(last_pixels * w.stride))
        .constant("EXACT", w.out_width.is_multiple_of(pixels))
        .constant("WEIGHTED", weights.is_some())
        .constant("EXAMPLE_PER_PIXEL", g.example_per_pixel);
    if let Some(inputs) = shared {
        let outputs = SUBGROUP / inputs;
        kernel = kernel.header("IN_TILES", inputs as u32).header("OUT_TILES", outputs as u32);
    }
    let sums = rec.transient("weight gradient of splits", splits * w.weight_len());
    let bindings = vec![rec.read(x), rec.read(dy), rec.read(weights.unwrap_or(x)), rec.write(sums)];
    let grid = per_element(splits * w.kernel_h * blocks.input * blocks.output / columns);
    rec.dispatch(kernel, bindings, grid, g.images as u64 * w.flops());
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_keep_few_sums_in_an_invocation() {
        let takes = |kernel, tuning| {
            let window = Window::same(16, 16, 32, 32, kernel, 1);
            let blocks = Blocks::of(&window);
            (blocks.columns(&window, tuning), blocks.pixels(&window, tuning))
        };
        assert_eq!([1, 3, 5].map(|kernel| takes(kernel, Tuning::GPU)), [(1, 4), (1, 4), (1, 2)]);
        assert_eq!([3, 5].map(|kernel| takes(kernel, Tuning::SOFTWARE)), [(2, 4), (1, 4)]);
    }
}
