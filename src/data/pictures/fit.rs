//! One picture as bytes of the size and range that the whole set has.

use image::imageops::{self, FilterType};
use image::{ColorType, DynamicImage, GenericImage as _, Rgb, RgbImage};

use super::options::Fit;

/// The levels of 16 bits that become 0 and 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Levels {
    pub low: u16,
    pub high: u16,
}

impl Levels {
    /// All that 16 bits hold.
    pub const FULL: Self = Self { low: 0, high: u16::MAX };

    /// The lowest and highest level of `image` where it is opaque at all; `None` where nothing is.
    pub fn of(image: &DynamicImage) -> Option<Self> {
        let mut levels: Option<Self> = None;
        for pixel in image.to_rgba16().pixels().filter(|pixel| pixel[3] > 0) {
            let [red, green, blue, _] = pixel.0;
            let (low, high) = (red.min(green).min(blue), red.max(green).max(blue));
            let pixel = Self { low, high };
            levels = Some(levels.map_or(pixel, |levels| levels.joined(pixel)));
        }
        levels
    }

    pub fn joined(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn to_byte(self, level: u16) -> u8 {
        let span = u32::from(self.high - self.low);
        let above = u32::from(level.clamp(self.low, self.high) - self.low);
        ((above * 255 + span / 2) / span.max(1)) as u8
    }
}

/// `image` in 8 bits on `background`, and whether any of its pixels was see-through.
pub(super) fn on_background(
    image: DynamicImage,
    levels: Levels,
    background: [u8; 3],
) -> (RgbImage, bool) {
    let (width, height) = (image.width(), image.height());
    let mut transparent = false;
    let mut blend = |colour: [u8; 3], opacity: u16| {
        transparent |= opacity < u16::MAX;
        let (opacity, whole) = (u32::from(opacity), u32::from(u16::MAX));
        let mix = |channel: usize| {
            let (level, behind) = (u32::from(colour[channel]), u32::from(background[channel]));
            ((level * opacity + behind * (whole - opacity) + whole / 2) / whole) as u8
        };
        Rgb([mix(0), mix(1), mix(2)])
    };
    let flat = if is_sixteen_bit(image.color()) {
        let image = image.into_rgba16();
        RgbImage::from_fn(width, height, |x, y| {
            let [red, green, blue, opacity] = image.get_pixel(x, y).0;
            blend([red, green, blue].map(|level| levels.to_byte(level)), opacity)
        })
    } else if image.color().has_alpha() {
        let image = image.into_rgba8();
        RgbImage::from_fn(width, height, |x, y| {
            let [red, green, blue, opacity] = image.get_pixel(x, y).0;
            blend([red, green, blue], u16::from(opacity) * 257)
        })
    } else {
        image.into_rgb8()
    };
    (flat, transparent)
}

pub(super) fn is_sixteen_bit(colour: ColorType) -> bool {
    matches!(colour, ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16)
}

/// `image` in a size of `(height, width)` pixels.
pub(super) fn fitted(
    image: RgbImage,
    (height, width): (usize, usize),
    fit: Fit,
    background: [u8; 3],
) -> RgbImage {
    let (width, height) = (width as u32, height as u32);
    if image.dimensions() == (width, height) {
        return image;
    }
    match fit {
        Fit::Crop => {
            let (part_width, part_height) = largest_of_ratio(image.dimensions(), (width, height));
            let left = (image.width() - part_width) / 2;
            let top = (image.height() - part_height) / 2;
            let part = imageops::crop_imm(&image, left, top, part_width, part_height).to_image();
            resized(part, width, height)
        }
        Fit::Letterbox => {
            let (inner_width, inner_height) = largest_of_ratio((width, height), image.dimensions());
            let inner = resized(image, inner_width, inner_height);
            let mut canvas = RgbImage::from_pixel(width, height, Rgb(background));
            let (left, top) = ((width - inner_width) / 2, (height - inner_height) / 2);
            // It fits by construction.
            let _ = canvas.copy_from(&inner, left, top);
            canvas
        }
    }
}

fn resized(image: RgbImage, width: u32, height: u32) -> RgbImage {
    if image.dimensions() == (width, height) {
        return image;
    }
    // Linear, over all pixels that become one: the way of PyTorch's and Pillow's resizing.
    imageops::resize(&image, width, height, FilterType::Triangle)
}

/// The largest `(width, height)` within `room` whose sides have the ratio of `shape`, to within a
/// pixel.
fn largest_of_ratio(room: (u32, u32), shape: (u32, u32)) -> (u32, u32) {
    let (room_width, room_height) = (u64::from(room.0), u64::from(room.1));
    let (width, height) = (u64::from(shape.0), u64::from(shape.1));
    let scaled = |side: u64, by: u64, of: u64| ((side * by + of / 2) / of).max(1) as u32;
    if room_width * height <= room_height * width {
        (room.0, scaled(height, room_width, width).min(room.1))
    } else {
        (scaled(width, room_height, height).min(room.0), room.1)
    }
}

/// Whether nothing but greys is in `image`.
pub(super) fn is_grey(image: &RgbImage) -> bool {
    image.pixels().all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_levels_become_black_and_white() {
        let levels = Levels { low: 1000, high: 1119 };
        assert_eq!([999, 1000, 1119, 2000].map(|level| levels.to_byte(level)), [0, 0, 255, 255]);
        assert_eq!(Levels::FULL.to_byte(257 * 40), 40);
        // A set of one level.
        assert_eq!(Levels { low: 7, high: 7 }.to_byte(7), 0);
    }

    /// Three columns by one row to a square: the middle one, or all three between bars.
    #[test]
    fn crop_keeps_the_centre_and_letterbox_everything() {
        let image = RgbImage::from_fn(3, 1, |x, _| Rgb([10 * x as u8, 0, 0]));
        let crop = fitted(image.clone(), (1, 1), Fit::Crop, [9; 3]);
        assert_eq!(crop.into_raw(), [10, 0, 0]);
        let boxed = fitted(image, (3, 3), Fit::Letterbox, [9; 3]).into_raw();
        assert_eq!(boxed, [vec![9; 9], vec![0, 0, 0, 10, 0, 0, 20, 0, 0], vec![9; 9]].concat());
    }

    #[test]
    fn no_ratio_leaves_a_side_of_nothing() {
        for (image, size) in [((1000, 1), (4, 4)), ((1, 1000), (4, 4)), ((5, 7), (1, 300))] {
            for fit in [Fit::Crop, Fit::Letterbox] {
                let fitted = fitted(RgbImage::new(image.0, image.1), size, fit, [0; 3]);
                assert_eq!(fitted.dimensions(), (size.1 as u32, size.0 as u32));
            }
        }
    }
}
