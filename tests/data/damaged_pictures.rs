//! Pictures that were cut or damaged on the way: none is taken for a good one.

use std::io::Cursor;

use super::support::{save, write};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use l2rw::data::{DataError, PictureOptions, read_pictures};
use tempfile::TempDir;

/// Something that compresses badly, so that a cut takes pixels.
fn noisy(side: u32) -> RgbImage {
    let mut state = 1_u32;
    RgbImage::from_fn(side, side, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgb([state >> 24, state >> 16 & 255, state >> 8 & 255].map(|level| level as u8))
    })
}

fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(image.clone()).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn is_refused(folder: &TempDir, bytes: &[u8]) -> bool {
    write(folder.path().join("a/1.png"), bytes);
    match read_pictures(&[folder.path()], &PictureOptions::default()) {
        Ok(_) => false,
        Err(DataError::Unreadable { files }) => {
            assert_eq!(files.len(), 1);
            true
        }
        Err(other) => panic!("{other}"),
    }
}

/// Whole, and cut at twenty places.
#[track_caller]
fn assert_cuts_show(name: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    assert!(!is_refused(&folder, bytes), "{name}");
    let passed: Vec<usize> = (0..20)
        .map(|part| bytes.len() * part / 20)
        .filter(|&cut| !is_refused(&folder, &bytes[..cut]))
        .collect();
    assert!(passed.is_empty(), "{name} of {} bytes cut at {passed:?}", bytes.len());
}

#[test]
fn a_file_of_any_format_that_was_cut_is_refused() {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    for format in [Png, Jpeg, Bmp, Gif, Tiff, WebP] {
        assert_cuts_show(&format!("{format:?}"), &encoded(&noisy(24), format));
    }
}

#[test]
fn a_jpeg_of_any_kind_that_was_cut_is_refused() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/image_folder");
    for name in ["rgb", "progressive", "cmyk", "l"] {
        assert_cuts_show(name, &std::fs::read(seeds.join(format!("{name}.jpg"))).unwrap());
    }
}

#[test]
fn a_jpeg_that_lost_a_piece_in_its_middle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = encoded(&noisy(64), ImageFormat::Jpeg);
    let (start, end) = (bytes.len() / 3, bytes.len() / 2);
    assert!(is_refused(&folder, &[&bytes[..start], &bytes[end..]].concat()));
    // Pictures whose pixels are next to nothing are whole all the same.
    for (width, height) in [(1, 1), (1, 300), (300, 1), (17, 33)] {
        let plain = RgbImage::from_pixel(width, height, Rgb([255; 3]));
        assert!(!is_refused(&folder, &encoded(&plain, ImageFormat::Jpeg)));
    }
}

#[test]
fn what_stands_between_a_jpegs_headers_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = encoded(&noisy(24), ImageFormat::Jpeg);
    // The first segment begins at byte 2 and is 18 long.
    assert_eq!(bytes[20], 0xff);
    assert!(!is_refused(&folder, &[&bytes[..20], &[0; 9], &bytes[20..]].concat()));
}

#[test]
fn a_header_that_claims_more_than_its_file_can_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder, "a/2.png", noisy(8));
    let mut bmp = encoded(&noisy(4), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[10_000_u32.to_le_bytes(); 2].concat());
    assert!(is_refused(&folder, &bmp));
    let mut gif = encoded(&noisy(4), ImageFormat::Gif);
    gif[6..10].copy_from_slice(&[60_000_u16.to_le_bytes(); 2].concat());
    assert!(is_refused(&folder, &gif));
}
