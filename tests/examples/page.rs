//! The page of an audit, as far as no browser is needed for it: `make page-test` has one.

use std::path::Path;

use base64::Engine as _;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder as _, RgbImage};

use super::command::{bars, good, text};

/// What the page knows.
fn content(out: &Path) -> serde_json::Value {
    let page = std::fs::read_to_string(out.join("audit.html")).unwrap();
    let (_, data) = page.split_once("<script id=\"data\" type=\"application/json\">").unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

/// The picture of the suspect whose name ends like this.
fn picture(content: &serde_json::Value, ending: &str) -> DynamicImage {
    let mut suspects = content["suspects"].as_array().unwrap().iter();
    let suspect = suspects.find(|suspect| suspect["n"].as_str().unwrap().ends_with(ending));
    let url = suspect.unwrap()["i"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(url.split_once(',').unwrap().1);
    image::load_from_memory(&bytes.unwrap()).unwrap()
}

/// A photograph of `width` x `height` pixels whose upper half is bright, saved lying on its side.
fn lying_photograph(path: &Path, width: u32, height: u32) {
    let upright = RgbImage::from_fn(width, height, |x, y| {
        let level = if y < height / 2 { 220 } else { 30 };
        image::Rgb([level, (x % 20) as u8, 40])
    });
    // Orientation 6: a viewer turns it by a quarter clockwise.
    let stored = image::imageops::rotate270(&upright);
    let exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut encoder = JpegEncoder::new(std::fs::File::create(path).unwrap());
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    encoder.encode_image(&stored).unwrap();
}

#[test]
fn pictures_are_those_of_the_files_upright_and_small() {
    let folder = tempfile::tempdir().unwrap();
    let [data, clean] = bars(folder.path(), ["left", "right"], 12);
    lying_photograph(&data.join("left/photograph.jpg"), 400, 200);
    let out = folder.path().join("out");
    let fixed = ["audit", "--data", text(&data), "--clean", text(&clean), "--out", text(&out)];
    let printed = good(&[&fixed[..], &["--model", "mlp", "--steps", "2"]].concat());
    assert!(printed.contains("turned upright as their EXIF orientation says: 1"), "{printed}");
    let content = content(&out);
    let photograph = picture(&content, "photograph.jpg").into_rgb8();
    assert_eq!(photograph.dimensions(), (160, 80));
    assert!(photograph[(80, 10)][0] > 180 && photograph[(80, 70)][0] < 80);
    // What is small already is shown as it is, pixel by pixel.
    let shown = picture(&content, "left-000-right.png").into_rgb8();
    let file = image::open(data.join("left/left-000-right.png")).unwrap().into_rgb8();
    assert!(shown == file);
    assert_eq!(content["columns"], serde_json::json!(["example", "decision", "label"]));
}
