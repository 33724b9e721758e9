//! One file as a picture: what its header says, and its pixels, the right way up.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::fit::{self, Levels};
use super::{completeness, jpeg};
use crate::data::bounds::{DEFLATE_INFLATION, without_panic};

/// Endings of the files that are taken for pictures, in lower case. What a file holds is found out
/// from its content: files named .jpg that hold a PNG are common.
const ENDINGS: [&str; 12] =
    ["png", "jpg", "jpeg", "jpe", "jfif", "jif", "webp", "bmp", "dib", "gif", "tif", "tiff"];

/// The formats that are read, for messages.
pub(in crate::data) const FORMATS: &str = "PNG, JPEG, WebP, BMP, GIF or TIFF";

pub(super) fn is_picture_name(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|found| ENDINGS.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// What is known of a picture before its pixels are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Height and width in pixels as it is looked at.
    pub size: (usize, usize),
    /// The levels of a picture of 16 bits, where any of it is opaque.
    pub levels: Option<Levels>,
    /// Whether it has 16 bits a channel.
    pub sixteen_bit: bool,
}

/// The header of the picture in `path`.
///
/// # Errors
///
/// Why it cannot be read, as a clause that follows the name of the file.
pub(super) fn header(path: &Path) -> Result<Header, String> {
    without_panic(|| {
        let file = Picture::open(path)?;
        let (width, height) = file.dimensions;
        let orientation = file.orientation;
        let size = if swaps_sides(orientation) { (width, height) } else { (height, width) };
        let sixteen_bit = fit::is_sixteen_bit(file.colour);
        Ok(Header {
            size: (size.0 as usize, size.1 as usize),
            levels: if sixteen_bit { Levels::of(&file.decode()?) } else { None },
            sixteen_bit,
        })
    })
}

/// The picture in `path`, the right way up, and whether it had to be turned for that.
///
/// # Errors
///
/// As [`header`].
pub(super) fn decode(path: &Path) -> Result<(DynamicImage, bool), String> {
    without_panic(|| {
        let picture = Picture::open(path)?;
        let turned = picture.orientation != Orientation::NoTransforms;
        Ok((picture.decode()?, turned))
    })
}

fn swaps_sides(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

/// A file whose header was read and found possible.
struct Picture {
    dimensions: (u32, u32),
    colour: ColorType,
    orientation: Orientation,
    pixels: Pixels,
}

enum Pixels {
    Jpeg(Vec<u8>),
    Other(Box<dyn ImageDecoder>),
}

impl Picture {
    fn open(path: &Path) -> Result<Self, String> {
        let bytes = content(path)?;
        let format = image::guess_format(&bytes)
            .map_err(|_| format!("it does not begin as {FORMATS}: its name is not its kind"))?;
        completeness::check(format, &bytes)?;
        if format != ImageFormat::Jpeg {
            let held = bytes.len();
            return Self::of(Box::new(decoder(format, Cursor::new(bytes))?), format, held, |it| {
                Pixels::Other(it)
            });
        }
        let decoder = Box::new(decoder(format, Cursor::new(bytes.clone()))?);
        let held = bytes.len();
        Self::of(decoder, format, held, |_| Pixels::Jpeg(bytes))
    }

    fn of(
        mut decoder: Box<dyn ImageDecoder>,
        format: ImageFormat,
        held: usize,
        pixels: impl FnOnce(Box<dyn ImageDecoder>) -> Pixels,
    ) -> Result<Self, String> {
        let dimensions = decoder.dimensions();
        if dimensions.0 == 0 || dimensions.1 == 0 {
            let (width, height) = dimensions;
            return Err(format!("its header says {width}x{height} pixels, which is no picture"));
        }
        check_memory(decoder.as_mut(), format, held)?;
        let colour = decoder.color_type();
        if matches!(colour, ColorType::Rgb32F | ColorType::Rgba32F) {
            return Err("its pixels are floats without a range: save it with 8 or 16 bits".into());
        }
        let orientation = decoder.orientation().map_err(|reason| reason.to_string())?;
        Ok(Self { dimensions, colour, orientation, pixels: pixels(decoder) })
    }

    fn decode(self) -> Result<DynamicImage, String> {
        let mut image = match self.pixels {
            Pixels::Jpeg(bytes) => jpeg::decode(&bytes)?,
            Pixels::Other(decoder) => {
                DynamicImage::from_decoder(decoder).map_err(|reason| reason.to_string())?
            }
        };
        image.apply_orientation(self.orientation);
        Ok(image)
    }
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    let refused = |reason: std::io::Error| format!("cannot open it: {reason}");
    // A pipe or a device may never end.
    if !std::fs::metadata(path).map_err(refused)?.is_file() {
        return Err("it is no regular file: take it out of the folder".into());
    }
    let bytes = std::fs::read(path).map_err(refused)?;
    if bytes.is_empty() { Err("it is empty".into()) } else { Ok(bytes) }
}

fn decoder(
    format: ImageFormat,
    bytes: Cursor<Vec<u8>>,
) -> Result<impl ImageDecoder + 'static, String> {
    ImageReader::with_format(bytes, format).into_decoder().map_err(|reason| reason.to_string())
}

/// Refuses a picture whose header claims more than the `held` bytes of its file can give, or than
/// fits the memory that one picture may take.
fn check_memory(
    decoder: &mut dyn ImageDecoder,
    format: ImageFormat,
    held: usize,
) -> Result<(), String> {
    let (width, height) = decoder.dimensions();
    if format == ImageFormat::Jpeg && width.max(height) > jpeg::LONGEST_SIDE {
        let longest = jpeg::LONGEST_SIDE;
        return Err(format!(
            "it is {width}x{height}, and no side of a JPEG may be longer than {longest}"
        ));
    }
    let claimed = decoder.total_bytes();
    let (inflation, blank) = inflation(format);
    if claimed > (held as u64).saturating_mul(inflation).max(blank) {
        return Err(format!(
            "its header says {width}x{height}, which its {held} bytes cannot hold"
        ));
    }
    let mut limits = Limits::default();
    limits.reserve(claimed).map_err(|reason| reason.to_string())?;
    decoder.set_limits(limits).map_err(|reason| reason.to_string())
}

/// How many bytes of pixels a byte of a file becomes at most, and how many a file of any length
/// may hold.
fn inflation(format: ImageFormat) -> (u64, u64) {
    match format {
        ImageFormat::Jpeg => (jpeg::INFLATION, 0),
        // With two colours, one of them transparent, 32 for each byte that its compression yields.
        ImageFormat::Png => (32 * DEFLATE_INFLATION, 0),
        // 255 pixels of three bytes in a run of two.
        ImageFormat::Bmp => (255 * 3 / 2 + 1, 0),
        // Eight pixels in each byte that a compression yields.
        ImageFormat::Tiff => (8 * LZW, 0),
        ImageFormat::Gif => (4 * LZW, BLANK),
        // A lossy block of 16x16 pixels takes two bits or more.
        ImageFormat::WebP => (16 * 16 * 4 * 4, BLANK),
        // None of these is compiled in: its decoder says so.
        _ => (1, 0),
    }
}

/// The same of LZW: a code of 12 bits stands for up to 2^12 - 2^8 bytes.
const LZW: u64 = ((1 << 12) - (1 << 8)) * 8 / 12;

/// GIF and lossless WebP can hold a plane of one colour in next to nothing: up to 2048x2048 pixels
/// of it are taken on their word.
const BLANK: u64 = 2048 * 2048 * 4;
