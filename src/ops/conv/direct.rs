//! Kernels of which an invocation computes a register tile of pixels by one or two blocks of
//! channels, straight from storage.

use super::borders::Tiling;
use super::{View, Window};
use crate::gpu::{Access, Binding, Kernel, Part, Recorder, Shader, Tuning};
use crate::ops::parts::{GRID, Lanes, WORKGROUP, wgsl};
use crate::ops::per_element;

/// How many channels a register block takes: the axes `conv/direct/block` and `conv/direct/outer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Four by four.
    Vec4Vec4,
    /// One of the input by four of the output.
    ScalarVec4,
    /// One by one.
    ScalarScalar,
}

impl Block {
    fn of(window: &Window) -> Self {
        match [window.in_channels, window.out_channels].map(|count| count.is_multiple_of(4)) {
            [true, true] => Self::Vec4Vec4,
            [false, true] => Self::ScalarVec4,
            _ => Self::ScalarScalar,
        }
    }

    /// Products of pixels and weights.
    fn part(self) -> Part {
        match self {
            Self::Vec4Vec4 => wgsl!("conv/direct/block", "vec4_vec4"),
            Self::ScalarVec4 => wgsl!("conv/direct/block", "scalar_vec4"),
            Self::ScalarScalar => wgsl!("conv/direct/block", "scalar_scalar"),
        }
    }

    /// Products of pixels and output gradients.
    pub(super) fn outer_part(self) -> Part {
        match self {
            Self::Vec4Vec4 => wgsl!("conv/direct/outer", "vec4_vec4"),
            Self::ScalarVec4 => wgsl!("conv/direct/outer", "scalar_vec4"),
            Self::ScalarScalar => wgsl!("conv/direct/outer", "scalar_scalar"),
        }
    }

    pub(super) fn lanes(self, tuning: Tuning) -> Lanes {
        match self {
            // Single floats are read one by one.
            Self::ScalarScalar => Lanes::Scalar,
            Self::Vec4Vec4 | Self::ScalarVec4 => Lanes::fours(tuning),
        }
    }
}

/// The binding of a layer's weights: the axis `conv/direct/weights`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weights {
    Storage,
    Uniform,
}

impl Weights {
    fn part(self) -> Part {
        match self {
            Self::Storage => wgsl!("conv/direct/weights", "storage"),
            Self::Uniform => wgsl!("conv/direct/weights", "uniform"),
        }
    }
}

/// Who loads what neighbouring invocations need as well, and with it what an invocation is: the
/// axes `conv/direct/weight_loads`, `conv/direct/gradient_loads` and `conv/direct/invocation`.
/// Gradients of weights can share where [`Blocks::shared_inputs`] finds a shape of subgroup, passes
/// over pixels wherever [`is_shared`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loads {
    /// Each invocation for itself.
    Own,
    /// The lanes of a subgroup of 8 for each other.
    Shared,
}

impl Loads {
    pub(super) fn invocation(self) -> Part {
        match self {
            Self::Own => wgsl!("conv/direct/invocation", "single"),
            Self::Shared => wgsl!("conv/direct/invocation", "subgroup"),
        }
    }

    fn weights(self) -> Part {
        match self {
            Self::Own => wgsl!("conv/direct/weight_loads", "own"),
            Self::Shared => wgsl!("conv/direct/weight_loads", "shared"),
        }
    }

    pub(super) fn gradients(self) -> Part {
        match self {
            Self::Own => wgsl!("conv/direct/gradient_loads", "own"),
            Self::Shared => wgsl!("conv/direct/gradient_loads", "shared"),
        }
    }
}

pub(super) const GEOMETRY: Part = wgsl!("conv/common/geometry");
pub(super) const BORDERS: Part = wgsl!("conv/common/borders");
/// Sizes compiled in, of the axis `conv/sizes`.
pub(super) const FIXED_SIZES: Part = wgsl!("conv/sizes", "fixed");

/// What the kernels of forward passes and of gradients of the input may differ in.
#[derive(Clone, Copy, Debug)]
struct Scheme {
    lanes: Lanes,
    weights: Weights,
    block: Block,
    loads: Loads,
    /// Whether sizes come through a binding: the axis `conv/sizes`.
    bound: bool,
}

impl Scheme {
    fn of(w: &Window, tuning: Tuning) -> Self {
        let block = Block::of(w);
        let loads = if is_shared(w, tuning) { Loads::Shared } else { Loads::Own };
        let weights = if in_uniform(w, tuning) { Weights::Uniform } else { Weights::Storage };
        // Where loads are shared, one pipeline serves all layers.
        let bound = tuning.bound_sizes || loads == Loads::Shared;
        Self { lanes: block.lanes(tuning), weights, block, loads, bound }
    }

    fn shader(self) -> Shader {
        let mut parts = vec![
            GRID,
            WORKGROUP,
            GEOMETRY,
            BORDERS,
            self.lanes.part(),
            self.weights.part(),
            self.block.part(),
            self.loads.invocation(),
            if self.bound { wgsl!("conv/sizes", "bound") } else { FIXED_SIZES },
            self.loads.weights(),
            wgsl!("conv/direct/forward"),
        ];
        if self.loads == Loads::Own {
            parts.push(wgsl!("conv/direct/dual"));
        }
        Shader::joined("conv", parts)
    }
}

/// Largest uniform binding that every device offers, in bytes.
const MAX_UNIFORM: usize = 1 << 16;

/// Invocations of a subgroup that shares its loads.
pub(super) const SUBGROUP: usize = 8;

/// Channels of a register block: 4 where both counts allow it.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    pub(super) block: Block,
    /// Blocks of input channels.
    pub(super) input: usize,
    /// Blocks of output channels.
    pub(super) output: usize,
}

impl Blocks {
    pub(super) fn of(window: &Window) -> Self {
        let (input, output) = (window.in_channels, window.out_channels);
        let block = Block::of(window);
        match block {
            Block::Vec4Vec4 => Self { block, input: input / 4, output: output / 4 },
            Block::ScalarVec4 => Self { block, input, output: output / 4 },
            Block::ScalarScalar => Self { block, input, output },
        }
    }
}

/// A batch of convolutions as the kernels see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) images: usize,
    pub(super) window: Window,
    /// A linear layer over n examples is a 1×1 convolution of one image of 1×n pixels, so that a
    /// tile holds several examples.
    pub(super) example_per_pixel: bool,
}

impl Geometry {
    pub(super) fn new(window: &Window, n: usize) -> Self {
        if window.is_linear() {
            let row = Window { width: n, out_width: n, stride: 1, ..*window };
            return Self { images: 1, window: row, example_per_pixel: true };
        }
        Self { images: n, window: *window, example_per_pixel: false }
    }

    fn shape(&self, kernel: Kernel) -> Kernel {
        let w = &self.window;
        kernel
            .size("PAD_TOP", w.pad_top)
            .size("PAD_LEFT", w.pad_left)
            .header("KERNEL_H", w.kernel_h as u32)
            .header("KERNEL_W", w.kernel_w as u32)
            .header("STRIDE", w.stride as u32)
    }

    /// As in `shaders/conv/sizes/bound.wgsl`.
    fn sizes(&self) -> [(&'static str, usize); 7] {
        let (w, blocks) = (&self.window, Blocks::of(&self.window));
        [
            ("IMAGES", self.images),
            ("HEIGHT", w.height),
            ("WIDTH", w.width),
            ("IN_BLOCKS", blocks.input),
            ("OUT_BLOCKS", blocks.output),
            ("OUT_HEIGHT", w.out_height),
            ("OUT_WIDTH", w.out_width),
        ]
    }

    /// A kernel for this geometry only.
    pub(super) fn constants(&self, kernel: Kernel) -> Kernel {
        let fixed = |kernel: Kernel, (name, value)| kernel.size(name, value);
        self.sizes().into_iter().fold(self.shape(kernel), fixed)
    }

    /// A kernel that reads its sizes from a binding, the fourth one.
    fn bound(&self, rec: &mut Recorder, kernel: Kernel, bindings: &mut Vec<Binding>) -> Kernel {
        let sizes = self.sizes().map(|(_, value)| value as u32);
        let sizes = rec.constants(sizes.to_vec());
        bindings.insert(3, rec.whole(sizes, Access::Uniform));
        self.shape(kernel)
    }
}

/// Pixels of a tile, and of one whose values come with tangents: what fits into registers.
pub(super) const TILE: usize = 8;
pub(super) const DUAL_TILE: usize = 4;

/// Whether a subgroup shares a layer's weights.
pub(super) fn is_shared(w: &Window, tuning: Tuning) -> bool {
    tuning.shared_loads && Block::of(w) == Block::Vec4Vec4
}

/// Whether a layer's weights go through a uniform binding.
fn in_uniform(w: &Window, tuning: Tuning) -> bool {
    let fits = 4 * w.weight_len() <= MAX_UNIFORM && w.out_channels.is_multiple_of(4);
    tuning.uniform_weights && fits && !is_shared(w, tuning)
}

/// Blocks of channels, of `blocks`, that one invocation computes.
pub(super) fn columns(blocks: usize, tuning: Tuning) -> usize {
    if tuning.two_blocks && blocks.is_multiple_of(2) { 2 } else { 1 }
}

/// Weights bound the way that [`kernel`] reads them.
pub(super) fn bind(weights: View, w: &Window, tuning: Tuning) -> Binding {
    weights.bind(if in_uniform(w, tuning) { Access::Uniform } else { Access::Read })
}

/// The kernel of an entry point; what it binds besides is inserted.
pub(super) fn kernel(
    rec: &mut Recorder,
    entry: &'static str,
    (g, tiling): (&Geometry, &Tiling),
    columns: usize,
    bindings: &mut Vec<Binding>,
) -> Kernel {
    let scheme = Scheme::of(&g.window, rec.tuning());
    let kernel = Kernel::new(scheme.shader(), entry);
    let kernel = match scheme.bound {
        true => g.bound(rec, kernel, bindings),
        false => g.constants(kernel),
    };
    let kernel = match (scheme.loads, scheme.weights) {
        (Loads::Shared, _) => kernel.constant("HALO", tiling.has_halo(SUBGROUP)),
        (Loads::Own, Weights::Storage) => kernel,
        (Loads::Own, Weights::Uniform) => {
            kernel.header("WEIGHTS", (g.window.weight_len() / 4) as u32)
        }
    };
    tiling.constants(kernel).header("COLUMNS", columns as u32)
}

/// One invocation for every tile and every `columns` of `blocks` of channels.
pub(super) fn grid(
    g: &Geometry,
    tiles: usize,
    blocks: usize,
    columns: usize,
    tuning: Tuning,
) -> [u32; 3] {
    let tiles = match is_shared(&g.window, tuning) {
        true => tiles.next_multiple_of(SUBGROUP),
        false => tiles,
    };
    per_element(tiles * blocks / columns)
}

pub(super) fn output_grid(
    g: &Geometry,
    tiling: &Tiling,
    columns: usize,
    tuning: Tuning,
) -> [u32; 3] {
    let tiles = g.images * g.window.out_height * tiling.tiles;
    grid(g, tiles, Blocks::of(&g.window).output, columns, tuning)
}
