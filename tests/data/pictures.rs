//! Pictures as cameras, programs and people leave them, through `read_pictures`.

use std::path::{Path, PathBuf};

use super::support::{opened, save, write};
use image::codecs::jpeg::JpegEncoder;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageEncoder as _, Luma, Rgb, RgbImage,
    RgbaImage,
};
use l2rw::data::{
    DataError, Fit, PictureFolder, PictureOptions, Pictures, open, picture_folder, read_pictures,
};
use tempfile::TempDir;

const RED: Rgb<u8> = Rgb([220, 60, 40]);

fn plain(width: u32, height: u32) -> RgbImage {
    RgbImage::from_pixel(width, height, RED)
}

/// `cat` and `dog` with `count` red pictures of 8x8 each, in `part`.
fn cats_and_dogs(folder: &TempDir, part: &str, count: usize) {
    for class in ["cat", "dog"] {
        for index in 0..count {
            save(folder, &format!("{part}/{class}/{index}.png"), plain(8, 8));
        }
    }
}

#[track_caller]
fn read(folder: &TempDir, parts: &[&str], options: &PictureOptions) -> Pictures {
    let parts: Vec<PathBuf> = parts.iter().map(|part| folder.path().join(part)).collect();
    read_pictures(&parts, options).unwrap_or_else(|error| panic!("{error}"))
}

fn default() -> PictureOptions {
    PictureOptions::default()
}

#[track_caller]
fn assert_says(text: &impl ToString, parts: &[&str]) {
    let text = text.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[test]
fn parts_read_together_have_one_size_and_one_number_of_channels() {
    let folder = tempfile::tempdir().unwrap();
    cats_and_dogs(&folder, "data", 3);
    for class in ["cat", "dog"] {
        save(&folder, &format!("few/{class}/a.png"), GrayImage::from_pixel(5, 9, [77].into()));
    }
    // In either order.
    for parts in [["data", "few"], ["few", "data"]] {
        let pictures = read(&folder, &parts, &default());
        for part in &pictures.parts {
            assert_eq!((part.set.height, part.set.width, part.set.channels), (8, 8, 3));
            assert_eq!(part.files.len(), part.set.len());
        }
        assert_eq!((pictures.notes.resized, pictures.notes.sizes.len()), (2, 2));
        assert_says(&pictures.notes, &["8 pictures of 8x8", "RGB", "resized: 2"]);
    }
    let grey = read(&folder, &["few"], &default()).parts.remove(0).set;
    assert_eq!((grey.height, grey.width, grey.channels), (9, 5, 1));
    assert_eq!(grey.image(0).unwrap(), [77; 45]);
}

/// A PNG of one pixel row in two colours of a palette.
fn palette_png(levels: [[u8; 3]; 2]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = |kind: &[u8; 4], content: &[u8]| {
        bytes.extend((content.len() as u32).to_be_bytes());
        let body = [kind, content].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        bytes.extend(&body);
        bytes.extend(crc.sum().to_be_bytes());
    };
    chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 1, 8, 3, 0, 0, 0]);
    chunk(b"PLTE", &levels.concat());
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packer, &[0, 0, 1]).unwrap();
    chunk(b"IDAT", &packer.finish().unwrap());
    chunk(b"IEND", &[]);
    [b"\x89PNG\r\n\x1a\n".to_vec(), bytes].concat()
}

#[test]
fn a_palette_of_greys_is_grey_and_one_of_colours_is_not() {
    for (levels, channels) in [([[3; 3], [200; 3]], 1), ([[3; 3], [200, 200, 199]], 3)] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path().join("a/1.png"), &palette_png(levels));
        save(&folder, "a/2.png", GrayImage::from_pixel(2, 1, [9].into()));
        let set = read(&folder, &["."], &default()).parts.remove(0).set;
        assert_eq!(set.channels, channels);
        let expected: Vec<u8> = if channels == 1 { vec![3, 200] } else { levels.concat() };
        assert_eq!(set.image(0).unwrap(), expected);
    }
}

#[test]
fn channels_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder, "a/1.png", plain(1, 1));
    save(&folder, "a/2.png", GrayImage::from_pixel(1, 1, [9].into()));
    let with = |channels| {
        let options = PictureOptions { channels: Some(channels), ..default() };
        read(&folder, &["."], &options).parts.remove(0).set
    };
    assert_eq!(with(3).image(1).unwrap(), [9; 3]);
    let grey = with(1);
    // Between the channels: it is a mean of them.
    let level = grey.image(0).unwrap()[0];
    assert_eq!(grey.channels, 1);
    assert!((40..220).contains(&level), "{level}");
    let options = PictureOptions { channels: Some(2), ..default() };
    assert_says(&read_pictures(&[folder.path()], &options).unwrap_err(), &["channels", "not 2"]);
}

#[test]
fn pictures_of_all_sizes_are_fitted_into_the_one_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    // The middle of a wide picture is red, and its ends are white.
    let wide = |x: u32| if (4..8).contains(&x) { RED } else { Rgb([255; 3]) };
    save(&folder, "a/1.png", RgbImage::from_fn(12, 4, |x, _| wide(x)));
    save(&folder, "a/2.png", plain(40, 40));
    save(&folder, "a/3.png", plain(12, 4));
    let size = Some((4, 4));
    let options = PictureOptions { size, ..default() };
    let pictures = read(&folder, &["."], &options);
    assert_eq!(pictures.parts[0].set.image(0).unwrap(), RED.0.repeat(16));
    assert_eq!(pictures.parts[0].set.image(1).unwrap(), RED.0.repeat(16));
    assert_says(&pictures.notes, &["4x4", "resized: 3", "2 size(s)"]);
    let background = [0, 0, 9];
    let boxed = PictureOptions { size, fit: Fit::Letterbox, background, ..default() };
    let set = read(&folder, &["."], &boxed).parts.remove(0).set;
    let bar = background.repeat(4);
    let expected = [bar.clone(), RED.0.repeat(4), bar.clone(), bar].concat();
    assert_eq!(set.image(2).unwrap(), expected);
    for size in [(0, 4), (4, 1 << 20)] {
        let options = PictureOptions { size: Some(size), ..default() };
        assert_says(&read_pictures(&[folder.path()], &options).unwrap_err(), &["size"]);
    }
}

#[test]
fn without_a_size_that_most_have_pictures_become_a_square() {
    let folder = tempfile::tempdir().unwrap();
    for (file, width, height) in [("1", 30, 20), ("2", 20, 40), ("3", 50, 60)] {
        save(&folder, &format!("a/{file}.png"), plain(width, height));
    }
    let pictures = read(&folder, &["."], &default());
    assert_eq!(pictures.notes.size, (20, 20));
    assert_eq!((pictures.notes.resized, pictures.notes.sizes.len()), (3, 3));
}

/// A JPEG whose EXIF data hold nothing but this orientation.
fn turned_jpeg(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 100);
    encoder.set_exif_metadata(exif).unwrap();
    encoder
        .write_image(image, image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

#[test]
fn pictures_are_read_upright_whatever_way_a_camera_stored_them() {
    // Upright: red above, white below; oblong and square.
    for (width, height) in [(16, 32), (16, 16)] {
        let upright =
            RgbImage::from_fn(
                width,
                height,
                |_, y| {
                    if y < height / 2 { RED } else { Rgb([255; 3]) }
                },
            );
        let folder = tempfile::tempdir().unwrap();
        save(&folder, "a/0.png", upright.clone());
        save(&folder, "a/1.png", upright.clone());
        save(&folder, "a/2.png", upright.clone());
        let lying = image::imageops::rotate270(&upright);
        write(folder.path().join("a/6.jpg"), &turned_jpeg(&lying, 6));
        let on_its_head = image::imageops::rotate180(&upright);
        write(folder.path().join("a/3.jpg"), &turned_jpeg(&on_its_head, 3));
        let pictures = read(&folder, &["."], &default());
        assert_eq!((pictures.notes.turned, pictures.notes.resized), (2, 0));
        assert_says(&pictures.notes, &["upright", "2"]);
        let set = &pictures.parts[0].set;
        assert_eq!((set.width, set.height), (width as usize, height as usize));
        for index in 0..set.len() {
            let off = set.image(index).unwrap().iter().zip(upright.as_raw());
            let off = off.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(off < 16, "picture {index}: {off}");
        }
    }
}

#[test]
fn transparent_pixels_show_the_background_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let half = RgbaImage::from_fn(2, 1, |x, _| [10, 20, 30, if x == 0 { 255 } else { 0 }].into());
    save(&folder, "a/1.png", half);
    save(&folder, "a/2.png", GrayAlphaImage::from_pixel(2, 1, [100, 51].into()));
    save(&folder, "a/3.png", RgbaImage::from_pixel(2, 1, [1, 2, 3, 255].into()));
    let pictures = read(&folder, &["."], &default());
    let set = &pictures.parts[0].set;
    assert_eq!(set.image(0).unwrap(), [10, 20, 30, 255, 255, 255]);
    // A fifth of 100 and four of 255.
    assert_eq!(set.image(1).unwrap(), [224; 6]);
    assert_eq!(set.image(2).unwrap(), [1, 2, 3, 1, 2, 3]);
    assert_eq!(pictures.notes.transparent, 2);
    assert_says(&pictures.notes, &["transparent", "background: 2"]);
    let black = PictureOptions { background: [0; 3], ..default() };
    let set = read(&folder, &["."], &black).parts.remove(0).set;
    assert_eq!(set.image(1).unwrap(), [20; 6]);
}

fn sixteen(level: u16) -> DynamicImage {
    ImageBuffer::from_fn(2, 1, |x, _| Luma([level + x as u16])).into()
}

#[test]
fn sixteen_bits_are_scaled_by_the_range_of_all_parts_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (file, level) in [("data/cold/1", 1000), ("data/warm/1", 1100), ("few/cold/1", 1050)] {
        save(&folder, &format!("{file}.png"), sixteen(level));
    }
    let pictures = read(&folder, &["data", "few"], &default());
    let image = |part: usize, index| pictures.parts[part].set.image(index).unwrap()[0];
    // Levels 1000 to 1101 become 0 to 255.
    assert_eq!([image(0, 0), image(0, 1), image(1, 0)], [0, 252, 126]);
    assert_says(&pictures.notes, &["16 bits: 3", "1000 to 1101"]);
    // Beside pictures of 8 bits, white stays white.
    save(&folder, "few/cold/2.png", GrayImage::from_pixel(2, 1, [40].into()));
    let pictures = read(&folder, &["data", "few"], &default());
    assert_eq!(pictures.parts[1].set.image(1).unwrap(), [40; 2]);
    assert_eq!(pictures.parts[0].set.image(0).unwrap()[0], 4);
    assert_says(&pictures.notes, &["16 bits: 3", "0 and 65535"]);
}

#[test]
fn all_formats_are_read_and_names_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    for ending in ["png", "webp", "bmp", "gif", "tif", "TIFF", "jpg"] {
        save(&folder, &format!("a/1.{ending}"), plain(8, 8));
    }
    let jpeg = std::fs::read(folder.path().join("a/1.jpg")).unwrap();
    for name in ["photo.jfif", "photo.jpe", "photo.png"] {
        write(folder.path().join("a").join(name), &jpeg);
    }
    let pictures = read(&folder, &["."], &default());
    let set = &pictures.parts[0].set;
    assert_eq!((set.len(), pictures.notes.passed_over.len()), (10, 0));
    for (index, file) in pictures.parts[0].files.iter().enumerate() {
        let pixel = &set.image(index).unwrap()[..3];
        let off = pixel.iter().zip(RED.0).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(off <= 8, "{}: {pixel:?}", file.display());
    }
}

#[test]
fn what_is_passed_over_is_counted_by_kind_and_folder() {
    let folder = tempfile::tempdir().unwrap();
    cats_and_dogs(&folder, "data", 2);
    for index in 0..3 {
        write(folder.path().join(format!("data/cat/{index}.heic")), b"x");
        save(&folder, &format!("data/dog/2021/{index}.png"), plain(8, 8));
    }
    write(folder.path().join("data/labels.csv"), b"x");
    for noise in ["cat/Thumbs.db", "cat/.DS_Store", "dog/._0.png", ".git/1.png", "__MACOSX/x"] {
        write(folder.path().join("data").join(noise), b"x");
    }
    let pictures = read(&folder, &["data"], &default());
    let cat = folder.path().join("data/cat").display().to_string();
    let deeper = folder.path().join("data/dog/2021").display().to_string();
    let parts = ["4 pictures", "3 .heic", &cat, "3 pictures further down", &deeper, "1 .csv"];
    assert_says(&pictures.notes, &parts);
    assert_eq!(pictures.notes.passed_over.len(), 3, "{}", pictures.notes);
    let nested = PictureOptions { nested: true, ..default() };
    let pictures = read(&folder, &["data"], &nested);
    assert_eq!((pictures.parts[0].set.len(), pictures.notes.passed_over.len()), (7, 2));
}

#[test]
fn all_unreadable_files_are_named_at_once_or_left_out() {
    let folder = tempfile::tempdir().unwrap();
    cats_and_dogs(&folder, "data", 12);
    cats_and_dogs(&folder, "few", 1);
    let cat = folder.path().join("data/cat");
    write(cat.join("0.png"), b"");
    write(cat.join("1.png"), b"<html>not found</html>");
    write(cat.join("2.png"), b"\x89PNG\r\n\x1a\n");
    std::fs::create_dir(cat.join("album.png")).unwrap();
    write(folder.path().join("few/dog/x.jpg"), b"\xff\xd8\xff");
    let mut bad = 4;
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("gone.png", cat.join("zz.png")).unwrap();
        bad += 1;
    }
    let parts = ["data", "few"].map(|part| folder.path().join(part));
    let error = read_pictures(&parts, &default()).unwrap_err();
    assert_says(&error, &["0.png: it is empty", "1.png", "2.png", "few/dog/x.jpg"]);
    assert!(matches!(&error, DataError::Unreadable { files } if files.len() == bad), "{error}");
    let options = PictureOptions { leave_out_unreadable: true, ..default() };
    let pictures = read_pictures(&parts, &options).unwrap();
    assert_eq!((pictures.notes.left_out.len(), pictures.notes.pictures), (bad, 23));
    assert_says(&pictures.notes, &["left out", "1.png"]);
    assert!(pictures.parts[0].files.iter().all(|file| !file.ends_with("cat/1.png")));
    for part in &pictures.parts {
        assert_eq!(part.files.len(), part.set.len());
        let image = part.set.image(part.set.len() - 1).unwrap();
        assert_eq!(image, RED.0.repeat(64));
    }
    for index in 0..12 {
        write(cat.join(format!("{index}.png")), b"bad");
    }
    let error = read_pictures(&parts, &default()).unwrap_err();
    assert_says(&error, &[&format!("{} picture(s)", bad + 9), &format!("and {} more", bad - 1)]);
    // Then no cat is left.
    assert_says(&read_pictures(&parts, &options).unwrap_err(), &["cat", "no examples"]);
}

#[test]
fn a_class_may_be_called_train_or_test() {
    for (name, names) in
        [("vehicles", ["bus", "car", "train"]), ("lab", ["blank", "control", "test"])]
    {
        let folder = tempfile::tempdir().unwrap();
        for class in names {
            save(&folder, &format!("{name}/{class}/1.png"), plain(2, 2));
        }
        let path = folder.path().join(name);
        assert_eq!(picture_folder(&path).unwrap(), Some(PictureFolder::Classes));
        let pictures = read(&folder, &[name], &default());
        assert_eq!(pictures.parts[0].set.class_names, names);
        assert_says(&open(&path).unwrap_err(), &["no data set", "val"]);
    }
}

#[test]
fn val_serves_as_the_test_part_unless_there_is_a_test_part() {
    for split in ["val", "valid", "Validation", "Testing"] {
        let folder = tempfile::tempdir().unwrap();
        cats_and_dogs(&folder, "train", 2);
        cats_and_dogs(&folder, split, 1);
        assert_eq!(opened(&folder).test.len(), 2, "{split}");
        let found = picture_folder(folder.path()).unwrap();
        let test = Some(folder.path().join(split));
        assert!(matches!(found, Some(PictureFolder::Splits { test: t, .. }) if t == test));
        cats_and_dogs(&folder, "test", 3);
        let (source, notes) = l2rw::data::open_with(folder.path(), &default()).unwrap();
        assert_eq!(source.test.len(), 6);
        assert_says(&notes, &["passed over", split]);
    }
}

#[test]
fn classes_and_files_are_in_the_order_of_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for class in 1..=12 {
        for file in ["10", "9"] {
            save(&folder, &format!("{class}/{file}.png"), plain(2, 2));
        }
    }
    let part = read(&folder, &["."], &default()).parts.remove(0);
    let expected: Vec<String> = (1..=12).map(|class| class.to_string()).collect();
    assert_eq!(part.set.class_names, expected);
    assert!(part.files[0].ends_with("1/9.png"), "{:?}", part.files);
}

#[test]
fn a_class_is_the_same_however_its_accents_are_written() {
    let folder = tempfile::tempdir().unwrap();
    for class in ["data/caf\u{e9}", "data/th\u{e9}", "few/cafe\u{301}", "few/the\u{301}"] {
        save(&folder, &format!("{class}/1.png"), plain(2, 2));
    }
    let pictures = read(&folder, &["data", "few"], &default());
    assert_eq!(pictures.parts[1].set.labels, [0, 1]);
    assert_eq!(pictures.parts[1].set.class_names, ["caf\u{e9}", "th\u{e9}"]);
}

#[test]
fn a_later_part_may_lack_a_class_but_not_add_one() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["data/blue", "data/green", "data/red", "few/green", "few/red"] {
        save(&folder, &format!("{file}/1.png"), plain(2, 2));
    }
    let pictures = read(&folder, &["data", "few"], &default());
    assert_eq!(pictures.parts[1].set.labels, [1, 2]);
    assert_eq!(pictures.parts[1].absent_classes(), [0]);
    assert!(pictures.parts[0].absent_classes().is_empty());
    let parts = ["few", "data"].map(|part| folder.path().join(part));
    let error = read_pictures(&parts, &default()).unwrap_err();
    let blue = Path::new("data").join("blue").display().to_string();
    assert_says(&error, &[&blue, "missing"]);
}

#[cfg(unix)]
#[test]
fn a_file_name_in_latin_1_keeps_its_bytes() {
    use std::os::unix::ffi::OsStringExt as _;
    let folder = tempfile::tempdir().unwrap();
    save(&folder, "cat/1.png", plain(2, 2));
    let name = std::ffi::OsString::from_vec(b"Mu\xf1oz.png".to_vec());
    let path = folder.path().join("cat").join(name);
    std::fs::rename(folder.path().join("cat/1.png"), &path).unwrap();
    let part = read(&folder, &["."], &default()).parts.remove(0);
    assert!(std::fs::exists(&part.files[0]).unwrap());
    assert!(l2rw::data::path_text(&part.files[0]).ends_with("cat/Mu%F1oz.png"));
}
