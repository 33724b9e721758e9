//! JPEGs, decoded so that damage is an error: by default, decoders fill what is missing with grey
//! and do not say so.

use image::{DynamicImage, GrayImage, RgbImage};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

const FILL: u8 = 0xff;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
const RESTART_INTERVAL: u8 = 0xdd;
/// Begins a segment that the standard reserves, so that it ends no scan of any file.
const RESERVED: u8 = 0xf0;

/// How many bytes of pixels a byte of a file becomes at most. A block of 8x8 numbers takes a bit
/// or more; with colours at a quarter of the resolution, 32x32 pixels of 3 bytes take 16 + 2
/// blocks.
pub(super) const INFLATION: u64 = (32 * 32 * 3_u64).div_ceil(18) * 8;

/// Pixels on a side. The decoder's sums of 16 bits overflow beyond it, and it would leave pixels
/// out.
pub(super) const LONGEST_SIDE: u32 = 65_528;

/// The pixels of a JPEG that [`check_complete`] found whole: grey, or RGB for all else (CMYK is
/// converted without a colour profile).
///
/// # Errors
///
/// What the decoder found damaged.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let whole = walk(bytes).map_err(|offset| format!("it is cut at byte {offset}"))?;
    let marked = whole.with_a_marked_end(bytes);
    let bytes = marked.as_deref().unwrap_or(bytes);
    match decode_in(bytes, true) {
        // What stands between headers is no part of the picture, and some programs put it there.
        Err(DecodeErrors::FormatStatic(reason)) if reason.contains("Extra bytes") => {
            decode_in(bytes, false)
        }
        decoded => decoded,
    }
    .map_err(|reason| format!("it is damaged: {reason}"))
}

fn decode_in(bytes: &[u8], strict: bool) -> Result<DynamicImage, DecodeErrors> {
    let side = LONGEST_SIDE as usize;
    let options =
        DecoderOptions::default().set_strict_mode(strict).set_max_width(side).set_max_height(side);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers()?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let colours = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let pixels = decoder.decode()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (width, height) = (width as u32, height as u32);
    let image = if grey {
        GrayImage::from_raw(width, height, pixels).map(DynamicImage::from)
    } else {
        RgbImage::from_raw(width, height, pixels).map(DynamicImage::from)
    };
    image.ok_or(DecodeErrors::FormatStatic("its pixels are not as many as its header says"))
}

/// Refuses a file that ends early.
///
/// # Errors
///
/// As [`walk`].
pub(super) fn check_complete(bytes: &[u8]) -> Result<(), usize> {
    walk(bytes).map(|_| ())
}

/// What the markers of a whole JPEG say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whole {
    /// Offset of the end of image, in bytes.
    end: usize,
    /// Whether it has one scan that runs from its first block to its last.
    is_one_run: bool,
}

impl Whole {
    /// The file with an end that the decoder refuses, where it has to reach the end of its pixels
    /// before.
    ///
    /// The decoder takes an end of image anywhere for the right one, and so misses that pixels
    /// were lost. It reads up to 8 bytes ahead, so that only behind more of them does a wrong
    /// marker show nothing but lost pixels.
    fn with_a_marked_end(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let end = [&[0; 16], &[FILL, RESERVED][..]].concat();
        self.is_one_run.then(|| [&bytes[..self.end], &end].concat())
    }
}

/// Walks over the markers (ITU-T T.81, annex B) of a file that begins as a JPEG.
///
/// # Errors
///
/// The offset of what the end of the file cuts, in bytes: a segment, or the pixels of a scan.
/// Anything else that is wrong is the decoder's to find.
fn walk(bytes: &[u8]) -> Result<Whole, usize> {
    // Behind the marker that every JPEG begins with.
    let mut at = 2;
    let (mut scans, mut sequential, mut restarts) = (0, false, false);
    loop {
        let start = at;
        at += next_marker(&bytes[at..]).ok_or(start)?;
        let end = at;
        while bytes.get(at) == Some(&FILL) {
            at += 1;
        }
        let marker = *bytes.get(at).ok_or(start)?;
        at += 1;
        match marker {
            END_OF_IMAGE => {
                return Ok(Whole { end, is_one_run: scans == 1 && sequential && !restarts });
            }
            // Neither length nor content.
            0x01 | 0xd8 => continue,
            // The frames of Huffman-coded images without progression.
            0xc0 | 0xc1 => sequential = true,
            RESTART_INTERVAL => restarts = true,
            START_OF_SCAN => scans += 1,
            _ => {}
        }
        let length = bytes.get(at..at + 2).ok_or(start)?;
        at += usize::from(u16::from_be_bytes([length[0], length[1]]));
        if at > bytes.len() {
            return Err(start);
        }
        if marker == START_OF_SCAN {
            at += next_marker(&bytes[at..]).ok_or(start)?;
        }
    }
}

/// Where the next marker is, other than those that restart a scan.
fn next_marker(bytes: &[u8]) -> Option<usize> {
    // A byte of pixels that looks like the beginning of a marker is followed by a zero.
    let is_pixels = |next: u8| matches!(next, 0x00 | 0xd0..=0xd7 | FILL);
    bytes.windows(2).position(|pair| pair[0] == FILL && !is_pixels(pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A comment with an end of image in it, a scan with a restart and an escaped byte, a table,
    /// a second scan, fill bytes, the end.
    const TWO_SCANS: [&[u8]; 6] = [
        &[0xff, 0xd8],
        &[0xff, 0xfe, 0, 4, 0xff, 0xd9],
        &[0xff, 0xda, 0, 3, 1, 7, 0xff, 0xd0, 8, 0xff, 0x00, 9],
        &[0xff, 0xc4, 0, 4, 0xff, 0xd9],
        &[0xff, 0xda, 0, 3, 1, 5],
        &[0xff, 0xff, 0xd9],
    ];

    #[test]
    fn a_jpeg_is_whole_at_its_end_and_nowhere_before() {
        let bytes = TWO_SCANS.concat();
        assert_eq!(check_complete(&bytes), Ok(()));
        let trailer = [bytes.as_slice(), &[0xff, 0xda, 0, 9]].concat();
        assert_eq!(check_complete(&trailer), Ok(()));
        let mut starts = Vec::new();
        for cut in 2..bytes.len() {
            starts.push(check_complete(&bytes[..cut]).unwrap_err());
        }
        // Each segment is named until its last byte is there.
        starts.dedup();
        assert_eq!(starts, [2, 8, 20, 26]);
    }

    #[test]
    fn what_stands_between_segments_hides_no_cut() {
        assert_eq!(check_complete(&[0xff, 0xd8, 0x41, 0x42]), Err(2));
        assert_eq!(check_complete(&[0xff, 0xd8, 0x41, 0x42, 0xff, 0xd9]), Ok(()));
    }
}
