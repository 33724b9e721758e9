//! What the kernels that stage their factors through workgroup memory share.

use super::parts::{WORKGROUP, wgsl};
use crate::gpu::{Kernel, Part, Precision, Shader, Staging, fold_workgroups};

/// What the factors of products are rounded to: the axis `common/staged/factors`.
fn factors(precision: Precision) -> Part {
    match precision {
        Precision::F32 => wgsl!("common/staged/factors", "f32"),
        Precision::F16 => wgsl!("common/staged/factors", "f16"),
    }
}

/// Who holds the sums: the axis `common/staged/sums`.
#[derive(Clone, Copy, Debug)]
enum Sums {
    /// The invocations, in their registers.
    Registers,
    /// Subgroups, in cooperative matrices: the axis `common/staged/matrix` for their side.
    Matrices {
        side: u32,
        /// Rows and columns of subgroups in a workgroup.
        subgroups: [u32; 2],
    },
}

impl Sums {
    fn of(staging: Staging, precision: Precision) -> Self {
        let matrices = staging.matrices.and_then(|matrices| matrices.side_and_subgroups(precision));
        match matrices {
            Some((side, subgroups)) => Self::Matrices { side, subgroups },
            None => Self::Registers,
        }
    }

    fn parts(self) -> Vec<Part> {
        match self {
            Self::Registers => vec![wgsl!("common/staged/sums", "registers")],
            Self::Matrices { side, .. } => {
                let side = match side {
                    16 => wgsl!("common/staged/matrix", "16"),
                    _ => wgsl!("common/staged/matrix", "8"),
                };
                vec![side, wgsl!("common/staged/sums", "matrices")]
            }
        }
    }
}

/// Whether a kernel may round its factors to [`Staging::precision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// No: similarities are made of its results.
    Never,
    /// Yes, where the staging says so.
    Allowed,
}

/// A kernel joined from the parts of all staged kernels and `own` ones.
pub fn kernel(
    name: &'static str,
    own: &[Part],
    entry: &'static str,
    (staging, rounding): (Staging, Rounding),
) -> Kernel {
    let precision = match rounding {
        Rounding::Never => Precision::F32,
        Rounding::Allowed => staging.precision,
    };
    let sums = Sums::of(staging, precision);
    let mut parts = vec![WORKGROUP, wgsl!("common/staged/tiles"), factors(precision)];
    parts.extend(sums.parts());
    parts.extend(own);
    let kernel = Kernel::new(Shader::joined(name, parts), entry);
    match sums {
        Sums::Registers => kernel,
        Sums::Matrices { subgroups: [rows, columns], .. } => {
            kernel.header("SUBGROUP_ROWS", rows).header("SUBGROUP_COLUMNS", columns)
        }
    }
}

/// Rows and columns of the smallest tile of a workgroup.
const TILE: usize = 64;
/// Terms of the sums that are staged at a time; `STEP` in the shader.
pub const STEP: usize = 16;

/// How the results of a matrix product are cut into tiles, one a workgroup.
#[derive(Clone, Copy, Debug)]
pub struct Tiles {
    tall: usize,
    wide: usize,
    rows: usize,
    columns: usize,
}

impl Tiles {
    /// Tiles of rows by columns: the largest, which load least, of which there are enough.
    pub fn of(rows: usize, columns: usize, staging: Staging) -> Self {
        let large = Self::of_splits(rows, columns, staging);
        let narrow = Self::with_sides(rows, columns, large.tall, 1);
        let small = Self::with_sides(rows, columns, 1, 1);
        let enough = |tiles: &Self| 2 * tiles.count() >= staging.workgroups;
        [large, narrow].into_iter().find(enough).unwrap_or(small)
    }

    /// The same where each tile is split over workgroups.
    pub fn of_splits(rows: usize, columns: usize, staging: Staging) -> Self {
        let wide = if staging.wide_tiles { side(columns) } else { 1 };
        Self::with_sides(rows, columns, side(rows), wide)
    }

    fn with_sides(rows: usize, columns: usize, tall: usize, wide: usize) -> Self {
        let tiles = |len: usize, side: usize| len.div_ceil(TILE * side);
        Self { tall, wide, rows: tiles(rows, tall), columns: tiles(columns, wide) }
    }

    /// Tiles of numbers with their tangents, which take the other half of a tile's sides.
    pub fn dual(rows: usize, columns: usize) -> Self {
        Self { tall: 2, wide: 2, rows: rows.div_ceil(TILE), columns: columns.div_ceil(TILE) }
    }

    /// Number of tiles.
    pub fn count(&self) -> usize {
        self.rows * self.columns
    }

    /// One workgroup for each tile of each slice.
    pub fn grid(&self, slices: usize) -> [u32; 3] {
        fold_workgroups(self.count() * slices)
    }

    /// Sets what `shaders/common/staged/tiles.wgsl` needs.
    pub fn constants(&self, kernel: Kernel, slices: usize) -> Kernel {
        kernel
            .header("TALL", self.tall as u32)
            .header("WIDE", self.wide as u32)
            .size("ROW_TILES", self.rows)
            .size("COLUMN_TILES", self.columns)
            .size("SLICES", slices)
    }
}

/// Side of a tile: twice the smallest unless that adds more than an eighth to what is computed.
fn side(len: usize) -> usize {
    let tiles = len.div_ceil(TILE);
    if 8 * tiles.next_multiple_of(2) <= 9 * tiles { 2 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::{Tiles, side};
    use crate::gpu::{Staging, Tuning};

    #[test]
    fn tiles_are_large_where_that_adds_little() {
        assert_eq!([1, 64, 65, 128, 129, 192, 1024, 1025].map(side), [1, 1, 2, 2, 1, 1, 2, 2]);
    }

    #[test]
    fn tiles_cover_all_results() {
        let staging = Tuning::GPU.staging.expect("GPUs stage");
        let staging = Staging { wide_tiles: true, ..staging };
        for (rows, columns) in [(1, 4), (100, 160), (129, 128), (1000, 640), (30_000, 640)] {
            for cut in [Tiles::of, Tiles::of_splits] {
                let tiles = cut(rows, columns, staging);
                let covered = (tiles.rows * tiles.tall * 64, tiles.columns * tiles.wide * 64);
                assert!(covered.0 >= rows && covered.1 >= columns);
                assert_eq!(tiles.count(), tiles.rows * tiles.columns);
            }
        }
    }

    #[test]
    fn tiles_are_small_where_large_ones_would_leave_a_gpu_idle() {
        let staging = Tuning::GPU.staging.expect("GPUs stage");
        let sides = |tiles: Tiles| (tiles.tall, tiles.count());
        assert_eq!(sides(Tiles::of(6_400, 64, staging)), (1, 100));
        assert_eq!(sides(Tiles::of_splits(6_400, 64, staging)), (2, 50));
        assert_eq!(sides(Tiles::of(102_400, 64, staging)), (2, 800));
        // The last stage of WideResNet-28-10, of which there are 250 tiles of 128 × 128.
        let wide = Staging { wide_tiles: true, ..staging };
        let sides = |tiles: Tiles| (tiles.tall, tiles.wide, tiles.count());
        assert_eq!(sides(Tiles::of(6_400, 640, wide)), (2, 1, 500));
        assert_eq!(sides(Tiles::of(25_600, 640, wide)), (2, 2, 1_000));
    }
}
