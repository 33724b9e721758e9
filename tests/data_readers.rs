//! The readers, through the public `open`, on small files written here.
#![cfg(feature = "data")]

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, GrayAlphaImage, GrayImage, Rgb, RgbImage, RgbaImage};
use l2rw::data::{DataError, Source, open};
use tempfile::TempDir;

fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    let path = path.as_ref();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn opened(folder: &TempDir) -> Source {
    open(folder.path()).unwrap_or_else(|error| panic!("{error}"))
}

/// The message of the error that opening `folder` gives, which must contain each of `parts`.
#[track_caller]
fn assert_refused(folder: &TempDir, parts: &[&str]) {
    let message = open(folder.path()).unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} in {message:?}");
    }
}

const PLANE: usize = 32 * 32;

/// CIFAR records of the given label bytes; the planes hold 1, 2 and 3 times the record's number.
fn cifar_records(labels: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, label_bytes) in labels.into_iter().enumerate() {
        bytes.extend(label_bytes);
        for plane in 1..=3 {
            bytes.extend([(plane * index) as u8; PLANE]);
        }
    }
    bytes
}

const CIFAR10_RECORD: usize = 1 + 3 * PLANE;
const CIFAR10_NAMES: &str =
    "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

/// CIFAR-10 with each class once in every file, in a folder of its own below the one returned.
fn cifar10() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("cifar-10-batches-bin");
    let batch = cifar_records((0..10).map(|label| vec![label]));
    for file in 1..=5 {
        write(inner.join(format!("data_batch_{file}.bin")), &batch);
    }
    write(inner.join("test_batch.bin"), &batch);
    write(inner.join("batches.meta.txt"), CIFAR10_NAMES.as_bytes());
    (folder, inner)
}

#[test]
fn cifar10_is_found_one_folder_down_and_read_in_file_order() {
    let (folder, inner) = cifar10();
    let source = opened(&folder);
    assert_eq!(source.train.name, "CIFAR-10 train");
    assert_eq!((source.train.len(), source.test.len()), (50, 10));
    assert!(
        source
            .train
            .labels
            .iter()
            .copied()
            .eq((0..50).map(|index| index % 10))
    );
    assert_eq!(source.train.class_names[9], "truck");
    assert_eq!(open(&inner).unwrap(), source);
}

#[test]
fn cifar_planes_become_interleaved_pixels() {
    let (folder, inner) = cifar10();
    let mut batch = cifar_records((0..10).map(|label| vec![label]));
    // Row 2, column 5 of the red, green and blue planes of the second record.
    let pixel = CIFAR10_RECORD + 1 + 2 * 32 + 5;
    for (plane, level) in [(0, 70), (1, 80), (2, 90)] {
        batch[pixel + plane * PLANE] = level;
    }
    write(inner.join("test_batch.bin"), &batch);
    let test = opened(&folder).test;
    let image = test.image(1).unwrap();
    let start = (2 * 32 + 5) * 3;
    assert_eq!(image[start..start + 3], [70, 80, 90]);
    assert_eq!(image[..3], [1, 2, 3]);
}

#[test]
fn a_truncated_cifar_file_is_refused_with_its_name_and_both_sizes() {
    let (folder, inner) = cifar10();
    let path = inner.join("data_batch_3.bin");
    let bytes = std::fs::read(&path).unwrap();
    write(&path, &bytes[..bytes.len() - 7]);
    let found = (bytes.len() - 7).to_string();
    assert_refused(
        &folder,
        &["data_batch_3.bin", "30730000", &found, "truncated"],
    );
}

#[test]
fn a_cifar_file_cut_between_records_is_refused_by_comparison_with_the_others() {
    let (folder, inner) = cifar10();
    let path = inner.join("data_batch_4.bin");
    let bytes = std::fs::read(&path).unwrap();
    write(&path, &bytes[..9 * CIFAR10_RECORD]);
    assert_refused(
        &folder,
        &["data_batch_4.bin", "30730", "27657", "truncated"],
    );
}

#[test]
fn an_empty_cifar_file_is_refused() {
    let (folder, inner) = cifar10();
    write(inner.join("test_batch.bin"), &[]);
    assert_refused(&folder, &["test_batch.bin", "found 0"]);
}

#[test]
fn a_cifar_label_out_of_range_is_refused_with_its_file_and_byte_offset() {
    let (folder, inner) = cifar10();
    let mut batch = cifar_records((0..10).map(|label| vec![label]));
    batch[4 * CIFAR10_RECORD] = 10;
    write(inner.join("data_batch_2.bin"), &batch);
    let offset = format!("byte {}", 4 * CIFAR10_RECORD);
    assert_refused(&folder, &["data_batch_2.bin", &offset, "label 10"]);
}

#[test]
fn a_missing_cifar_file_is_refused_by_name() {
    for file in ["data_batch_5.bin", "test_batch.bin", "batches.meta.txt"] {
        let (folder, inner) = cifar10();
        std::fs::remove_file(inner.join(file)).unwrap();
        assert_refused(&folder, &[file, "CIFAR-10", "missing"]);
    }
}

#[test]
fn cifar_class_names_of_the_wrong_number_are_refused() {
    let (folder, inner) = cifar10();
    write(inner.join("batches.meta.txt"), b"cat\ndog\n");
    assert_refused(&folder, &["batches.meta.txt", "expected 10", "found 2"]);
}

#[test]
fn a_cifar_class_without_examples_is_refused_by_name() {
    let (folder, inner) = cifar10();
    write(
        inner.join("test_batch.bin"),
        &cifar_records((0..9).map(|label| vec![label])),
    );
    assert_refused(&folder, &["CIFAR-10 test", "class 9", "truck"]);
}

const CIFAR100_RECORD: usize = 2 + 3 * PLANE;

fn cifar100() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let records = cifar_records((0..100).map(|label| vec![label / 5, label]));
    write(folder.path().join("train.bin"), &records);
    write(folder.path().join("test.bin"), &records);
    let names = (0..100)
        .map(|label| format!("fine {label}\n"))
        .collect::<String>();
    write(folder.path().join("fine_label_names.txt"), names.as_bytes());
    folder
}

#[test]
fn cifar100_is_read_with_its_fine_labels() {
    let source = opened(&cifar100());
    assert_eq!(source.train.name, "CIFAR-100 train");
    assert!(source.train.labels.iter().copied().eq(0..100));
    assert_eq!(source.test.class_names[42], "fine 42");
    assert_eq!(source.test.image(2).unwrap()[..3], [2, 4, 6]);
}

#[test]
fn cifar100_labels_out_of_range_are_refused_coarse_or_fine() {
    for (byte, label) in [(0, 20), (1, 100)] {
        let folder = cifar100();
        let mut records = cifar_records((0..100).map(|label| vec![label / 5, label]));
        records[3 * CIFAR100_RECORD + byte] = label;
        write(folder.path().join("test.bin"), &records);
        let offset = format!("byte {}", 3 * CIFAR100_RECORD + byte);
        assert_refused(&folder, &["test.bin", &offset, &format!("label {label}")]);
    }
}

#[test]
fn a_truncated_cifar100_file_is_refused_with_its_name_and_both_sizes() {
    let folder = cifar100();
    write(folder.path().join("train.bin"), &[0; 5_000]);
    assert_refused(&folder, &["train.bin", "153700000", "5000"]);
}

fn idx_labels(labels: &[u8]) -> Vec<u8> {
    [
        &[0, 0, 8, 1],
        &(labels.len() as u32).to_be_bytes()[..],
        labels,
    ]
    .concat()
}

/// IDX images of 2 rows and 3 columns whose pixels count up.
fn idx_images(count: u32) -> Vec<u8> {
    let sizes = [count, 2, 3].map(u32::to_be_bytes).concat();
    [
        vec![0, 0, 8, 3],
        sizes,
        (0..count * 6).map(|pixel| pixel as u8).collect(),
    ]
    .concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Three classes, four examples to train on and three to test with.
fn idx() -> TempDir {
    let folder = tempfile::Builder::new().prefix("digits").tempdir().unwrap();
    write(
        folder.path().join("train-labels-idx1-ubyte"),
        &idx_labels(&[2, 0, 1, 0]),
    );
    write(
        folder.path().join("train-images-idx3-ubyte"),
        &idx_images(4),
    );
    write(
        folder.path().join("t10k-labels-idx1-ubyte.gz"),
        &gzip(&idx_labels(&[0, 1, 2])),
    );
    write(
        folder.path().join("t10k-images-idx3-ubyte.gz"),
        &gzip(&idx_images(3)),
    );
    folder
}

#[test]
fn idx_files_are_read_plain_or_compressed() {
    let source = opened(&idx());
    let train = &source.train;
    assert!(
        train.name.starts_with("digits") && train.name.ends_with(" train"),
        "{}",
        train.name
    );
    assert_eq!((train.height, train.width, train.channels), (2, 3, 1));
    assert_eq!(train.labels, [2, 0, 1, 0]);
    assert_eq!(train.image(1), Some(&[6, 7, 8, 9, 10, 11][..]));
    assert_eq!(train.class_names, ["0", "1", "2"]);
    assert_eq!(source.test.labels, [0, 1, 2]);
    assert_eq!(source.test.image(2), Some(&[12, 13, 14, 15, 16, 17][..]));
}

#[test]
fn an_idx_file_with_another_magic_number_is_refused() {
    let folder = idx();
    write(
        folder.path().join("train-images-idx3-ubyte"),
        &idx_labels(&[0, 1]),
    );
    let parts = [
        "train-images-idx3-ubyte",
        "byte 0",
        "0x00000803",
        "0x00000801",
    ];
    assert_refused(&folder, &parts);
}

#[test]
fn an_idx_file_that_ends_in_its_header_is_refused() {
    let folder = idx();
    write(
        folder.path().join("train-images-idx3-ubyte"),
        &idx_images(4)[..14],
    );
    let parts = [
        "train-images-idx3-ubyte",
        "byte 12",
        "columns",
        "end of the file",
    ];
    assert_refused(&folder, &parts);
}

#[test]
fn truncated_idx_images_are_refused_with_both_sizes() {
    let folder = idx();
    write(
        folder.path().join("train-images-idx3-ubyte"),
        &idx_images(4)[..30],
    );
    assert_refused(
        &folder,
        &[
            "train-images-idx3-ubyte",
            "expected 40",
            "found 30",
            "truncated",
        ],
    );
}

#[test]
fn truncated_compressed_idx_images_are_refused_by_name() {
    let folder = idx();
    let whole = gzip(&idx_images(3));
    write(
        folder.path().join("t10k-images-idx3-ubyte.gz"),
        &whole[..whole.len() - 12],
    );
    assert_refused(
        &folder,
        &["t10k-images-idx3-ubyte.gz", "expected 34", "truncated"],
    );
}

#[test]
fn an_idx_file_longer_than_its_header_says_is_refused() {
    let folder = idx();
    write(
        folder.path().join("train-labels-idx1-ubyte"),
        &[idx_labels(&[0, 1]), vec![0]].concat(),
    );
    assert_refused(
        &folder,
        &["train-labels-idx1-ubyte", "expected 10", "more follows"],
    );
}

#[test]
fn an_idx_header_that_announces_more_than_memory_is_refused_by_the_file_size() {
    let folder = idx();
    let mut images = idx_images(4);
    images[8..16].fill(0xff);
    write(folder.path().join("train-images-idx3-ubyte"), &images);
    assert_refused(
        &folder,
        &[
            "train-images-idx3-ubyte",
            "4294967295x4294967295",
            "found 40",
        ],
    );
}

#[test]
fn idx_images_and_labels_of_different_numbers_are_refused() {
    let folder = idx();
    write(
        folder.path().join("train-images-idx3-ubyte"),
        &idx_images(5),
    );
    assert_refused(
        &folder,
        &["train-images-idx3-ubyte", "byte 4", "4 images", "found 5"],
    );
}

#[test]
fn idx_test_images_of_another_size_are_refused() {
    let folder = idx();
    let mut images = idx_images(3);
    images.swap(11, 15);
    write(
        folder.path().join("t10k-images-idx3-ubyte.gz"),
        &gzip(&images),
    );
    assert_refused(&folder, &["t10k-images-idx3-ubyte.gz", "2x3", "3x2"]);
}

#[test]
fn an_idx_test_label_that_training_never_has_is_refused_with_its_byte_offset() {
    let folder = idx();
    write(
        folder.path().join("t10k-labels-idx1-ubyte.gz"),
        &gzip(&idx_labels(&[0, 1, 3])),
    );
    assert_refused(
        &folder,
        &["t10k-labels-idx1-ubyte.gz", "byte 10", "label 3"],
    );
}

#[test]
fn idx_training_labels_with_a_gap_are_refused_with_the_byte_offset() {
    let folder = idx();
    write(
        folder.path().join("train-labels-idx1-ubyte"),
        &idx_labels(&[0, 1, 9, 0]),
    );
    assert_refused(
        &folder,
        &["train-labels-idx1-ubyte", "byte 10", "label 9", "label 2"],
    );
}

#[test]
fn an_idx_file_without_examples_is_refused() {
    let folder = idx();
    write(
        folder.path().join("train-labels-idx1-ubyte"),
        &idx_labels(&[]),
    );
    assert_refused(&folder, &["train-labels-idx1-ubyte", "byte 4", "found 0"]);
}

#[test]
fn a_missing_idx_file_is_refused_by_name() {
    let folder = idx();
    std::fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte.gz")).unwrap();
    assert_refused(&folder, &["t10k-labels-idx1-ubyte[.gz]", "missing"]);
}

fn save(folder: &TempDir, file: &str, image: impl Into<DynamicImage>) {
    let path = folder.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save(path).unwrap();
}

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
    assert!(
        train.name.starts_with("pets") && train.name.ends_with(" train"),
        "{}",
        train.name
    );
    assert_eq!((train.height, train.width, train.channels), (2, 3, 3));
    assert_eq!(train.class_names, ["cat", "dog"]);
    assert_eq!(train.labels, [0, 0, 1, 1]);
    let levels = (0..4)
        .map(|index| train.image(index).unwrap()[0])
        .collect::<Vec<_>>();
    assert_eq!(levels, [1, 2, 3, 4]);
    // Row 1, column 2 of the first image.
    assert_eq!(train.image(0).unwrap()[15..], [1, 2, 1]);
    assert_eq!(source.test.labels, [0, 1]);
}

#[test]
fn a_jpeg_is_read_to_within_its_compression() {
    let folder = image_folder();
    save(
        &folder,
        "train/cat/c.jpeg",
        RgbImage::from_pixel(3, 2, Rgb([200, 100, 50])),
    );
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
        save(
            &folder,
            file,
            GrayImage::from_fn(2, 1, |x, _| [(9 * x) as u8 + 1].into()),
        );
    }
    let train = opened(&folder).train;
    assert_eq!((train.channels, train.images), (1, vec![1, 10]));
}

#[test]
fn grey_images_among_colours_become_rgb_wherever_they_are() {
    for file in ["train/cat/a.PNG", "train/dog/1.png", "test/cat/1.png"] {
        let folder = image_folder();
        save(&folder, file, GrayImage::from_pixel(3, 2, [77].into()));
        let source = opened(&folder);
        let images = [source.train.images, source.test.images].concat();
        assert_eq!(images.len(), 6 * 18, "{file}");
        let grey = images
            .chunks(18)
            .filter(|image| **image == [77; 18])
            .count();
        assert_eq!(grey, 1, "{file}");
    }
}

#[test]
fn an_opaque_alpha_channel_is_dropped_and_a_transparent_one_refused() {
    let folder = image_folder();
    let mut image = RgbaImage::from_pixel(3, 2, [9, 8, 7, 255].into());
    save(&folder, "train/cat/c.png", image.clone());
    assert_eq!(opened(&folder).train.image(2).unwrap()[..3], [9, 8, 7]);
    image.get_pixel_mut(1, 1).0[3] = 254;
    save(&folder, "train/cat/c.png", image);
    assert_refused(&folder, &["c.png", "transparent"]);
    save(
        &folder,
        "train/cat/c.png",
        GrayAlphaImage::from_pixel(3, 2, [9, 0].into()),
    );
    assert_refused(&folder, &["c.png", "transparent"]);
}

#[test]
fn an_image_of_another_size_is_refused_with_both_sizes() {
    let folder = image_folder();
    save(&folder, "test/dog/2.png", rgb(4, 5, 0));
    assert_refused(&folder, &["2.png", "4x5", "a.PNG", "3x2"]);
}

#[test]
fn an_undecodable_image_is_refused_by_name() {
    let folder = image_folder();
    write(folder.path().join("train/dog/3.jpg"), b"this is no image");
    assert_refused(&folder, &["3.jpg", "decode"]);
}

#[test]
fn a_truncated_image_is_refused_by_name() {
    let folder = image_folder();
    let path = folder.path().join("train/dog/2.png");
    let bytes = std::fs::read(&path).unwrap();
    write(&path, &bytes[..bytes.len() / 2]);
    assert_refused(&folder, &["2.png", "decode"]);
}

#[test]
fn of_several_bad_images_the_first_is_reported() {
    let folder = image_folder();
    for file in ["train/dog/2.png", "train/dog/1.png", "train/cat/b.png"] {
        write(folder.path().join(file), b"bad");
    }
    assert_refused(&folder, &["b.png"]);
}

#[test]
fn an_empty_class_folder_is_refused_by_name() {
    let folder = image_folder();
    for split in ["train", "test"] {
        std::fs::create_dir(folder.path().join(split).join("eel")).unwrap();
    }
    write(folder.path().join("train/eel/eel.bmp"), b"not read");
    assert_refused(&folder, &["eel", "train", ".png"]);
}

#[test]
fn a_class_of_only_one_split_is_refused_by_name() {
    for (present, missing) in [("train", "test"), ("test", "train")] {
        let folder = image_folder();
        save(&folder, &format!("{present}/eel/1.png"), rgb(3, 2, 0));
        assert_refused(
            &folder,
            &[&path_text(missing, "eel"), "class folder missing"],
        );
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
fn a_split_without_class_folders_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    save(&folder, "train/1.png", rgb(3, 2, 0));
    std::fs::create_dir(folder.path().join("test")).unwrap();
    assert_refused(&folder, &["train", "no class folders"]);
}

#[test]
fn a_folder_with_nothing_known_says_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("readme.txt"), b"");
    let path = folder.path().display().to_string();
    let parts = [
        &path,
        "data_batch_1.bin",
        "train.bin",
        "idx3-ubyte",
        "train/<class>",
    ];
    assert_refused(&folder, &parts);
}

#[test]
fn two_data_sets_side_by_side_are_refused_by_name() {
    let (folder, _) = cifar10();
    save(&folder, "pets/train/cat/1.png", rgb(3, 2, 0));
    assert_refused(&folder, &["more than one", "cifar-10-batches-bin", "pets"]);
}

#[test]
fn a_path_that_does_not_exist_or_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cifar.tar.gz");
    let error = open(&file).unwrap_err();
    assert!(
        matches!(&error, DataError::Io { path, .. } if *path == file),
        "{error}"
    );
    write(&file, b"");
    let error = open(&file).unwrap_err();
    assert!(
        matches!(&error, DataError::NotAFolder { path } if *path == file),
        "{error}"
    );
}
