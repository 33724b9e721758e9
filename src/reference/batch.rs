//! From the data set to a training batch: gather, pad, crop, flip, normalise.

use super::check_len;

/// A data set of images `[count, height, width, channels]` and the crops taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AugmentShape {
    /// ExampleRows of a stored image.
    pub height: usize,
    /// Columns of a stored image.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of zero padding on every side, before the crop.
    pub pad: usize,
    /// ExampleRows of the crop.
    pub out_height: usize,
    /// Columns of the crop.
    pub out_width: usize,
}

/// What was drawn for one example of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Draw {
    /// Which image of the data set.
    pub index: usize,
    /// First row of the crop in the padded image; `pad` for a centred crop.
    pub oy: usize,
    /// First column of the crop in the padded image; `pad` for a centred crop.
    pub ox: usize,
    /// Whether the crop is mirrored left to right.
    pub flip: bool,
}

/// What bytes stand for: `value / 255`.
pub fn of_bytes(bytes: &[u8]) -> Vec<f64> {
    bytes.iter().map(|byte| f64::from(*byte) / 255.0).collect()
}

/// Gathers one crop a draw and normalises it, `(value − mean) / std` per channel.
///
/// `images` is `[count, height, width, channels]`, `mean` and `std` are `[channels]`. Returns
/// `[draws, out_height, out_width, channels]`. Padding is 0 *before* the normalisation, so it
/// comes out as `−mean / std`, as in the official CIFAR code; whatever lies outside the padding or
/// the data set reads as 0 too.
pub fn augment(
    shape: &AugmentShape,
    images: &[f64],
    draws: &[Draw],
    mean: &[f64],
    std: &[f64],
) -> Vec<f64> {
    check_len("mean", mean, shape.channels);
    check_len("std", std, shape.channels);
    let mut batch =
        Vec::with_capacity(draws.len() * shape.out_height * shape.out_width * shape.channels);
    for draw in draws {
        for y in 0..shape.out_height {
            for x in 0..shape.out_width {
                let x = if draw.flip { shape.out_width - 1 - x } else { x };
                for c in 0..shape.channels {
                    let value =
                        padded_pixel(shape, images, draw.index, draw.oy + y, draw.ox + x, c);
                    batch.push((value - mean[c]) / std[c]);
                }
            }
        }
    }
    batch
}

/// Channel `c` of pixel (`y`, `x`) of image `index` once padded.
fn padded_pixel(
    shape: &AugmentShape,
    images: &[f64],
    index: usize,
    y: usize,
    x: usize,
    c: usize,
) -> f64 {
    let inside = |at: usize, size: usize| at.checked_sub(shape.pad).filter(|&at| at < size);
    match (inside(y, shape.height), inside(x, shape.width)) {
        (Some(y), Some(x)) => {
            let at = ((index * shape.height + y) * shape.width + x) * shape.channels + c;
            images.get(at).copied().unwrap_or(0.0)
        }
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{AugmentShape, Draw, augment, of_bytes};

    const SHAPE: AugmentShape =
        AugmentShape { height: 2, width: 3, channels: 1, pad: 1, out_height: 2, out_width: 3 };
    const IMAGES: [u8; 12] = [0, 51, 102, 153, 204, 255, 255, 204, 153, 102, 51, 0];

    fn crop(index: usize, oy: usize, ox: usize, flip: bool) -> Vec<f64> {
        augment(&SHAPE, &of_bytes(&IMAGES), &[Draw { index, oy, ox, flip }], &[0.5], &[0.5])
            .into_iter()
            .map(|value| (value * 1e9).round() / 1e9)
            .collect()
    }

    #[test]
    fn a_centred_crop_is_the_normalised_image() {
        assert_eq!(crop(1, 1, 1, false), [1.0, 0.6, 0.2, -0.2, -0.6, -1.0]);
    }

    #[test]
    fn padding_is_zero_before_the_normalisation() {
        assert_eq!(crop(1, 0, 2, false), [-1.0, -1.0, -1.0, 0.6, 0.2, -1.0]);
    }

    #[test]
    fn a_flip_mirrors_the_crop_and_not_the_padded_image() {
        assert_eq!(crop(1, 0, 2, true), [-1.0, -1.0, -1.0, -1.0, 0.2, 0.6]);
    }

    #[test]
    fn an_index_outside_the_data_set_reads_as_zero() {
        assert_eq!(crop(2, 1, 1, false), [-1.0; 6]);
    }
}
