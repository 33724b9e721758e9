//! How pictures are brought to one size and one number of channels.

use super::super::DataError;

/// How [`read_pictures`](super::read_pictures) and [`open_with`](super::super::open_with) read
/// pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureOptions {
    /// Height and width in pixels that all pictures get. `None`: the size that more than half of
    /// them have, if no side of it is longer than 512 pixels; otherwise a square whose side is the
    /// median of the pictures' shorter sides, and 224 pixels at most.
    pub size: Option<(usize, usize)>,
    /// No side of a size that is not given is longer, in pixels: where one would be, pictures
    /// become squares. Steps of training cost as much as there are pixels.
    pub longest_side: Option<usize>,
    /// What becomes of a picture whose sides have another ratio.
    pub fit: Fit,
    /// 1 for grey, 3 for RGB. `None`: grey where all pictures show nothing but greys, whatever
    /// way they are stored, and RGB otherwise.
    pub channels: Option<usize>,
    /// What shows through transparent pixels and beside a letterboxed picture, RGB.
    pub background: [u8; 3],
    /// Whether pictures in folders below a class folder belong to the class as well.
    pub nested: bool,
    /// Whether pictures that cannot be read are left out and named in
    /// [`ReadNotes::left_out`](super::ReadNotes::left_out). Otherwise they are an error.
    pub leave_out_unreadable: bool,
}

impl Default for PictureOptions {
    /// On white, each class folder by itself, and nothing may be unreadable.
    fn default() -> Self {
        Self {
            size: None,
            longest_side: None,
            fit: Fit::Crop,
            channels: None,
            background: [u8::MAX; 3],
            nested: false,
            leave_out_unreadable: false,
        }
    }
}

impl PictureOptions {
    pub(super) fn check(&self) -> Result<(), DataError> {
        let sides = self.size.map(|(height, width)| [height, width]);
        let is_side = |side: usize| (1..=LONGEST_SIDE).contains(&side);
        if sides.is_some_and(|sides| !sides.into_iter().all(is_side)) {
            return Err(DataError::PictureOption {
                option: "size",
                reason: format!("both sides must be from 1 to {LONGEST_SIDE} pixels"),
            });
        }
        if self.longest_side == Some(0) {
            let reason = "it must be at least 1 pixel".to_owned();
            return Err(DataError::PictureOption { option: "longest_side", reason });
        }
        match self.channels {
            None | Some(1 | 3) => Ok(()),
            Some(channels) => Err(DataError::PictureOption {
                option: "channels",
                reason: format!("it must be 1 (grey) or 3 (RGB), not {channels}"),
            }),
        }
    }
}

/// What networks could be trained on ends far below.
const LONGEST_SIDE: usize = 1 << 14;

/// How a picture is fitted into a size whose sides have another ratio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Its centre fills the size; what is beyond on two sides is cut off.
    #[default]
    Crop,
    /// All of it is seen; two sides get bars of the background.
    Letterbox,
}

/// A most frequent size with a longer side than this is a camera's, not a data set's.
const LONGEST_COMMON_SIDE: usize = 512;

/// Side of what most networks for photographs were made for.
const PHOTOGRAPH_SIDE: usize = 224;

/// The height and width that pictures of these `sizes`, at least one, get by default; `most` is
/// [`PictureOptions::longest_side`].
pub(super) fn common_size(sizes: &[(usize, usize)], most: Option<usize>) -> (usize, usize) {
    match (natural_size(sizes), most) {
        ((height, width), Some(most)) if height.max(width) > most => {
            let side = height.min(width).min(most);
            (side, side)
        }
        (size, _) => size,
    }
}

fn natural_size(sizes: &[(usize, usize)]) -> (usize, usize) {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    // A size that more than half have is in the middle of any order.
    let middle = sorted[sorted.len() / 2];
    let count = sizes.iter().filter(|&&size| size == middle).count();
    if 2 * count > sizes.len() && middle.0.max(middle.1) <= LONGEST_COMMON_SIDE {
        return middle;
    }
    let mut shorter: Vec<usize> = sizes.iter().map(|&(height, width)| height.min(width)).collect();
    shorter.sort_unstable();
    let side = shorter[shorter.len() / 2].min(PHOTOGRAPH_SIDE);
    (side, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_most_have_is_taken_and_otherwise_a_square() {
        assert_eq!(common_size(&[(3, 2), (9, 9), (3, 2)], None), (3, 2));
        // Half is not most.
        assert_eq!(common_size(&[(30, 20), (30, 20), (40, 50), (60, 50)], None), (40, 40));
        assert_eq!(common_size(&[(3000, 4000), (3000, 4000), (10, 10)], None), (224, 224));
        assert_eq!(common_size(&[(512, 512)], None), (512, 512));
        assert_eq!(common_size(&[(512, 513)], None), (224, 224));
        assert_eq!(common_size(&[(512, 513)], Some(64)), (64, 64));
        assert_eq!(common_size(&[(48, 64)], Some(64)), (48, 64));
        assert_eq!(common_size(&[(48, 65)], Some(64)), (48, 48));
    }
}
