//! The WGSL files that several families of kernels are joined from, and how such files are named.

use crate::gpu::{Kernel, Part, Shader, Tuning};

/// The file `shaders/<path>.wgsl`. Given as a folder and a file, it is one of several that declare
/// the same names: an answer to the question that the folder asks.
macro_rules! wgsl {
    ($path:literal) => {
        // A constant, so that a list of parts may be borrowed.
        const {
            $crate::gpu::Part::own(
                concat!("shaders/", $path, ".wgsl"),
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path, ".wgsl")),
                None,
            )
        }
    };
    ($axis:literal, $answer:literal) => {
        const {
            $crate::gpu::Part::own(
                concat!("shaders/", $axis, "/", $answer, ".wgsl"),
                include_str!(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/shaders/",
                    $axis,
                    "/",
                    $answer,
                    ".wgsl"
                )),
                Some($answer),
            )
        }
    };
}
pub(crate) use wgsl;

/// The linear index of an invocation, and the size of workgroups.
pub(crate) const GRID: Part = wgsl!("common/grid");
/// What all invocations of a workgroup have in common.
pub(crate) const WORKGROUP: Part = wgsl!("common/workgroup");
/// Whether a number is finite.
pub(crate) const FINITE: Part = wgsl!("common/finite");
/// max(x, 0) of [`Lanes`].
pub(crate) const RECTIFIER: Part = wgsl!("common/rectifier");
/// Counter-based random numbers.
pub(crate) const RNG: Part = wgsl!("common/rng");
/// What changes from step to step.
pub(crate) const STEP: Part = wgsl!("common/step");

/// How a block of channels lies in storage and is loaded: the axis `common/lanes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lanes {
    /// Four floats in a `vec4`.
    Vec4,
    /// Four floats in two 64-bit loads.
    Wide,
    /// One float.
    Scalar,
}

impl Lanes {
    /// Blocks of four where all counts are multiples of four, else single floats.
    pub fn of(counts: &[usize], tuning: Tuning) -> Self {
        match counts.iter().all(|count| count.is_multiple_of(4)) {
            true => Self::fours(tuning),
            false => Self::Scalar,
        }
    }

    /// Blocks of four.
    pub fn fours(tuning: Tuning) -> Self {
        if tuning.wide_loads { Self::Wide } else { Self::Vec4 }
    }

    /// Floats of a block.
    pub fn count(self) -> usize {
        if self == Self::Scalar { 1 } else { 4 }
    }

    /// The file.
    pub fn part(self) -> Part {
        match self {
            Self::Vec4 => wgsl!("common/lanes", "vec4"),
            Self::Wide => wgsl!("common/lanes", "wide"),
            Self::Scalar => wgsl!("common/lanes", "scalar"),
        }
    }

    /// A kernel of a family that is one file and differs in its lanes only.
    pub fn kernel(self, name: &'static str, file: Part, entry: &'static str) -> Kernel {
        Kernel::new(Shader::joined(name, [GRID, self.part(), file]), entry)
    }
}
