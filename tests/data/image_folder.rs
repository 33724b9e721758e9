//! The image folder reader, through the public `open`, on small images written here.

use std::path::Path;

use super::support::{assert_refused, opened, save, write};
use image::{GrayImage, Rgb, RgbImage};
use tempfile::TempDir;

fn rgb(width: u32, height: u32, level: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([level, x as u8, y as u8]))
}

/// Two classes of RGB images, 3 wide and 2 high, two a class to train on and one to test with.
fn image_folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("pets").tempdir().unwrap();
    let files = [
        ("train/dog/1.png", 3),
        ("train/cat/b.png", 2),
        ("train/cat/a.PNG", 1),
        ("train/dog/2.png", 4),
        ("test/dog/1.png", 6),
        ("test/cat/1.png", 5),
    ];
    for (file, level) in files {
        save(&folder, file, rgb(3, 2, level));
    }
    folder
}

#[test]
fn an_image_folder_is_read_in_the_order_of_its_names() {
    let folder = image_folder();
    write(folder.path().join("train/cat/notes.txt"), b"ignored");
    write(folder.path().join("train/.hidden/1.png"), b"ignored");
    let source = opened(&folder);
    let train = &source.train;
    assert!(train.name.starts_with("pets") && train.name.ends_with(" train"), "{}", train.name);
    assert_eq!((train.height, train.width, train.channels), (2, 3, 3));
    assert_eq!(train.class_names, ["cat", "dog"]);
    assert_eq!(train.labels, [0, 0, 1, 1]);
    let levels = (0..4).map(|index| train.image(index).unwrap()[0]).collect::<Vec<_>>();
    assert_eq!(levels, [1, 2, 3, 4]);
    // Row 1, column 2 of the first image.
    assert_eq!(train.image(0).unwrap()[15..], [1, 2, 1]);
    assert_eq!(source.test.labels, [0, 1]);
}

#[test]
fn a_jpeg_is_read_to_within_its_compression() {
    let folder = image_folder();
    save(&folder, "train/cat/c.jpeg", RgbImage::from_pixel(3, 2, Rgb([200, 100, 50])));
    let train = opened(&folder).train;
    let pixel = &train.image(2).unwrap()[..3];
    let off = pixel
        .iter()
        .zip([200_i32, 100, 50])
        .map(|(&level, true_level)| (i32::from(level) - true_level).abs());
    assert!(off.max().unwrap() <= 6, "{pixel:?}");
}

#[test]
fn grey_images_alone_give_one_channel() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["train/a/1.png", "test/a/1.png"] {
        save(&folder, file, GrayImage::from_fn(2, 1, |x, _| [(9 * x) as u8 + 1].into()));
    }
    let train = opened(&folder).train;
    assert_eq!((train.channels, train.values), (1, vec![1u8, 10].into()));
}

#[test]
fn grey_images_among_colours_become_rgb_wherever_they_are() {
    for file in ["train/cat/a.PNG", "train/dog/1.png", "test/cat/1.png"] {
        let folder = image_folder();
        save(&folder, file, GrayImage::from_pixel(3, 2, [77].into()));
        let source = opened(&folder);
        let images =
            [&source.train, &source.test].map(|set| set.values.as_bytes().unwrap()).concat();
        assert_eq!(images.len(), 6 * 18, "{file}");
        let grey = images.chunks(18).filter(|image| **image == [77; 18]).count();
        assert_eq!(grey, 1, "{file}");
    }
}

#[test]
fn an_undecodable_image_is_refused_by_name() {
    let folder = image_folder();
    write(folder.path().join("train/dog/3.jpg"), b"this is no image");
    assert_refused(&folder, &["3.jpg", "its name is not its kind"]);
}

#[test]
fn a_truncated_image_is_refused_by_name() {
    let folder = image_folder();
    let path = folder.path().join("train/dog/2.png");
    let bytes = std::fs::read(&path).unwrap();
    write(&path, &bytes[..bytes.len() / 2]);
    assert_refused(&folder, &["2.png", "cannot be read"]);
}

#[test]
fn a_jpeg_that_was_cut_anywhere_is_refused_by_name() {
    let folder = image_folder();
    let path = folder.path().join("train/dog/2.jpg");
    save(&folder, "train/dog/2.jpg", rgb(3, 2, 4));
    let bytes = std::fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        write(&path, &bytes[..cut]);
        assert_refused(&folder, &["2.jpg", "cannot be read"]);
    }
    write(&path, &[&bytes[..], b"what a camera adds"].concat());
    opened(&folder);
}

#[test]
fn a_jpeg_that_claims_more_than_its_bytes_can_give_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder, "train/a/1.jpg", rgb(3, 2, 4));
    save(&folder, "test/a/1.jpg", rgb(3, 2, 4));
    let path = folder.path().join("train/a/1.jpg");
    let mut bytes = std::fs::read(&path).unwrap();
    // Height and width behind the marker of a frame, its length and its precision.
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[5800_u16.to_be_bytes(); 2].concat());
    write(&path, &bytes);
    assert_refused(&folder, &["1.jpg", "5800x5800", "cannot hold"]);
}

#[cfg(unix)]
#[test]
fn a_pipe_among_the_images_is_refused_rather_than_waited_for() {
    let folder = image_folder();
    let pipe = folder.path().join("train/cat/pipe.png");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert_refused(&folder, &["pipe.png", "no regular file"]);
}

#[test]
fn an_empty_class_folder_is_refused_by_name() {
    let folder = image_folder();
    for split in ["train", "test"] {
        std::fs::create_dir(folder.path().join(split).join("eel")).unwrap();
    }
    write(folder.path().join("train/eel/eel.heic"), b"not read");
    assert_refused(&folder, &["eel", "train", "only 1 .heic"]);
}

#[test]
fn a_class_of_only_one_split_is_refused_by_name() {
    for (present, missing) in [("train", "test"), ("test", "train")] {
        let folder = image_folder();
        save(&folder, &format!("{present}/eel/1.png"), rgb(3, 2, 0));
        assert_refused(&folder, &[&path_text(missing, "eel"), "class folder missing"]);
    }
}

fn path_text(split: &str, class: &str) -> String {
    Path::new(split).join(class).display().to_string()
}

#[test]
fn train_without_test_is_refused_and_the_other_way_round() {
    for split in ["train", "test"] {
        let folder = image_folder();
        std::fs::remove_dir_all(folder.path().join(split)).unwrap();
        assert_refused(&folder, &[split, "missing", "image folder"]);
    }
}

#[test]
fn an_image_that_cannot_hold_what_its_header_says_is_refused_unread() {
    // Both are so large: sizes must be the same.
    let folder = TempDir::new().unwrap();
    let huge = include_bytes!("../../fuzz/seeds/image_folder/fifty_thousand_squared.png");
    for file in ["train/a/1.png", "test/a/1.png"] {
        write(folder.path().join(file), huge);
    }
    assert_refused(&folder, &["train/a/1.png", "50000x50000", "cannot hold"]);
}

#[test]
fn a_jpeg_too_wide_for_the_decoders_sums_is_refused() {
    let folder = TempDir::new().unwrap();
    let wide = include_bytes!("../../fuzz/seeds/image_folder/panics_the_decoder.jpg");
    // What its last segment announces, and an end: it was cut.
    let whole = [&wide[..], &[0; 1 << 16], &[0xff, 0xd9]].concat();
    for file in ["train/a/1.jpg", "test/a/1.jpg"] {
        write(folder.path().join(file), &whole);
    }
    assert_refused(&folder, &["train/a/1.jpg", "no side of a JPEG"]);
}
