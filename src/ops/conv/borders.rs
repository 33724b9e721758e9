//! How the pixels of a row are cut into tiles, and which of their inputs lie within the image.

use super::Window;
use crate::gpu::Kernel;

const FIRST_BIAS: u32 = 1 << 16;

/// How the pixels of a row are cut into tiles, and which inputs a tile sees.
pub(super) struct Tiling {
    tile: usize,
    /// Tiles of a row.
    pub(super) tiles: usize,
    width: usize,
    span: usize,
    /// Offset of the first element of the span from the tile's first (scaled) pixel.
    first: isize,
    /// Pixels of the row that is read, and how far apart the spans of neighbouring tiles begin.
    read_width: usize,
    step: usize,
}

impl Tiling {
    /// Pixels of a tile, a multiple of `multiple`, and tiles of a row.
    fn cut(width: usize, multiple: usize, largest: usize) -> (usize, usize) {
        let candidates = (1..=largest.max(multiple)).filter(|t| t % multiple == 0);
        // Least waste first, then the largest.
        let best = candidates.min_by_key(|t| (width.div_ceil(*t) * t, std::cmp::Reverse(*t)));
        let tile = best.unwrap_or(multiple);
        (tile, width.div_ceil(tile))
    }

    /// Tiles of output pixels.
    pub(super) fn of_outputs(w: &Window, largest: usize) -> Self {
        let (tile, tiles) = Self::cut(w.out_width, 1, largest);
        Self {
            tile,
            tiles,
            width: w.out_width,
            span: (tile - 1) * w.stride + w.kernel_w,
            first: -(w.pad_left as isize),
            read_width: w.width,
            step: tile * w.stride,
        }
    }

    /// Tiles of input pixels, for the transposed convolution.
    pub(super) fn of_inputs(w: &Window, largest: usize) -> Self {
        let (tile, tiles) = Self::cut(w.width, w.stride, largest);
        let stride = w.stride as isize;
        let first = (w.pad_left as isize - (w.kernel_w as isize - 1)).div_euclid(stride);
        let last = (tile - 1 + w.pad_left) / w.stride;
        Self {
            tile,
            tiles,
            width: w.width,
            span: (last as isize - first + 1) as usize,
            first,
            read_width: w.out_width,
            step: tile / w.stride,
        }
    }

    /// Whether the invocations of a subgroup hand on to each other what tiles see beyond their own
    /// pixels: that lies in the next tiles, and all tiles of a row in one subgroup.
    pub(super) fn has_halo(&self, subgroup: usize) -> bool {
        let (tile, span) = (self.tile as isize, self.span as isize);
        let (before, after) = (-self.first, self.first + span - tile);
        let is_next = |pixels: isize| (0..=tile).contains(&pixels);
        let exact = [self.width, self.read_width] == [self.tiles * self.tile; 2];
        // Of the wider spans of other strides it is too little to pay.
        let pays = self.step == self.tile && span > tile;
        pays && exact && is_next(before) && is_next(after) && subgroup.is_multiple_of(self.tiles)
    }

    pub(super) fn constants(&self, kernel: Kernel) -> Kernel {
        let last_start = ((self.tiles - 1) * self.step) as isize + self.first;
        let safe_to = (self.read_width as isize - last_start).clamp(0, self.span as isize);
        kernel
            .header("TILE", self.tile as u32)
            .header("SPAN", self.span as u32)
            // The header holds unsigned numbers only.
            .header("FIRST", (self.first + FIRST_BIAS as isize) as u32)
            .header("FIRST_BIAS", FIRST_BIAS)
            .constant("SAFE_FROM", (-self.first).max(0) as f64)
            .constant("SAFE_TO", safe_to as f64)
            .constant("EXACT", self.tiles * self.tile == self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_handed_on_where_a_subgroup_holds_whole_rows_of_full_tiles() {
        let same = |width, kernel, stride| Window::same(3, width, 8, 8, kernel, stride);
        let has_halo = |w: &Window| {
            [Tiling::of_outputs(w, 8), Tiling::of_inputs(w, 8)].map(|tiling| tiling.has_halo(8))
        };
        for (window, expected) in [
            (same(8, 3, 1), true),
            (same(28, 5, 1), true),
            (same(64, 3, 1), true),
            (Window { pad_left: 0, ..same(16, 3, 1) }, true),
            // More tiles than a subgroup holds, or a number that does not divide it.
            (same(128, 3, 1), false),
            (same(24, 3, 1), false),
            // Nothing to hand on, more than a tile, rows that are read to another end, and strides.
            (same(16, 1, 1), false),
            (same(1, 5, 1), false),
            (Window { out_width: 8, ..same(16, 3, 1) }, false),
            (same(32, 3, 2), false),
        ] {
            assert_eq!(has_halo(&window), [expected; 2], "{window:?}");
        }
    }
}
