//! What `open` recognises, and the CIFAR and IDX readers, on small files written here.

use std::io::Write;
use std::path::PathBuf;

use super::support::{assert_refused, opened, write};
use flate2::Compression;
use flate2::write::GzEncoder;
use l2rw::data::{DataError, open};
use tempfile::TempDir;

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
    assert!(source.train.labels.iter().copied().eq((0..50).map(|index| index % 10)));
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
    assert_refused(&folder, &["data_batch_3.bin", "30730000", &found, "truncated"]);
}

#[test]
fn a_cifar_file_cut_between_records_is_refused_by_comparison_with_the_others() {
    let (folder, inner) = cifar10();
    let path = inner.join("data_batch_4.bin");
    let bytes = std::fs::read(&path).unwrap();
    write(&path, &bytes[..9 * CIFAR10_RECORD]);
    assert_refused(&folder, &["data_batch_4.bin", "30730", "27657", "truncated"]);
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
    write(inner.join("test_batch.bin"), &cifar_records((0..9).map(|label| vec![label])));
    assert_refused(&folder, &["CIFAR-10 test", "class 9", "truck"]);
}

const CIFAR100_RECORD: usize = 2 + 3 * PLANE;

fn cifar100() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let records = cifar_records((0..100).map(|label| vec![label / 5, label]));
    write(folder.path().join("train.bin"), &records);
    write(folder.path().join("test.bin"), &records);
    let names = (0..100).map(|label| format!("fine {label}\n")).collect::<String>();
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
    [&[0, 0, 8, 1], &(labels.len() as u32).to_be_bytes()[..], labels].concat()
}

/// IDX images of 2 rows and 3 columns whose pixels count up.
fn idx_images(count: u32) -> Vec<u8> {
    let sizes = [count, 2, 3].map(u32::to_be_bytes).concat();
    [vec![0, 0, 8, 3], sizes, (0..count * 6).map(|pixel| pixel as u8).collect()].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Three classes, four examples to train on and three to test with.
fn idx() -> TempDir {
    let folder = tempfile::Builder::new().prefix("digits").tempdir().unwrap();
    write(folder.path().join("train-labels-idx1-ubyte"), &idx_labels(&[2, 0, 1, 0]));
    write(folder.path().join("train-images-idx3-ubyte"), &idx_images(4));
    write(folder.path().join("t10k-labels-idx1-ubyte.gz"), &gzip(&idx_labels(&[0, 1, 2])));
    write(folder.path().join("t10k-images-idx3-ubyte.gz"), &gzip(&idx_images(3)));
    folder
}

#[test]
fn idx_files_are_read_plain_or_compressed() {
    let source = opened(&idx());
    let train = &source.train;
    assert!(train.name.starts_with("digits") && train.name.ends_with(" train"), "{}", train.name);
    assert_eq!((train.height, train.width, train.channels), (2, 3, 1));
    assert_eq!(train.labels, [2, 0, 1, 0]);
    assert_eq!(train.image(1), Some(&[6, 7, 8, 9, 10, 11][..]));
    assert_eq!(train.class_names, ["0", "1", "2"]);
    assert_eq!(source.test.labels, [0, 1, 2]);
    assert_eq!(source.test.image(2), Some(&[12, 13, 14, 15, 16, 17][..]));
}

const IDX_NAMES: [&str; 4] = [
    "train-labels-idx1-ubyte",
    "train-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
];

/// The same files under other names.
fn renamed_idx(rename: impl Fn(&str) -> String) -> TempDir {
    let (from, to) = (idx(), tempfile::Builder::new().prefix("digits").tempdir().unwrap());
    for name in IDX_NAMES {
        let bytes = std::fs::read(from.path().join(name)).unwrap();
        write(to.path().join(rename(name)), &bytes);
    }
    to
}

#[test]
fn idx_files_are_read_by_the_names_that_archives_give_them() {
    let expected = opened(&idx());
    let dotted = |name: &str| name.replace("-idx", ".idx");
    let plain = |name: &str| name.trim_end_matches(".gz").to_owned();
    let found = [
        renamed_idx(dotted),
        renamed_idx(|name| format!("{}/{name}", plain(name))),
        renamed_idx(|name| format!("{name}/{}", dotted(name))),
    ];
    for folder in found {
        assert_eq!(opened(&folder).train.labels, expected.train.labels);
        assert_eq!(opened(&folder).test.image(2), expected.test.image(2));
    }
}

#[test]
fn idx_files_of_unknown_names_are_refused_with_the_names_to_give_them() {
    let folder = renamed_idx(|name| format!("emnist-{}", name.replace("t10k", "test")));
    let parts = ["emnist-test-images-idx3-ubyte.gz", "train-labels-idx1-ubyte, t10k-images"];
    assert_refused(&folder, &parts);
}

#[test]
fn an_idx_file_with_another_magic_number_is_refused() {
    let folder = idx();
    write(folder.path().join("train-images-idx3-ubyte"), &idx_labels(&[0, 1]));
    let parts = ["train-images-idx3-ubyte", "byte 0", "0x00000803", "0x00000801"];
    assert_refused(&folder, &parts);
}

#[test]
fn an_idx_file_that_ends_in_its_header_is_refused() {
    let folder = idx();
    write(folder.path().join("train-images-idx3-ubyte"), &idx_images(4)[..14]);
    let parts = ["train-images-idx3-ubyte", "byte 12", "columns", "end of the file"];
    assert_refused(&folder, &parts);
}

#[test]
fn truncated_idx_images_are_refused_with_both_sizes() {
    let folder = idx();
    write(folder.path().join("train-images-idx3-ubyte"), &idx_images(4)[..30]);
    assert_refused(&folder, &["train-images-idx3-ubyte", "expected 40", "found 30", "truncated"]);
}

#[test]
fn truncated_compressed_idx_images_are_refused_by_name() {
    let folder = idx();
    let whole = gzip(&idx_images(3));
    write(folder.path().join("t10k-images-idx3-ubyte.gz"), &whole[..whole.len() - 12]);
    assert_refused(&folder, &["t10k-images-idx3-ubyte.gz", "expected 34", "truncated"]);
}

#[test]
fn an_idx_file_longer_than_its_header_says_is_refused() {
    let folder = idx();
    write(folder.path().join("train-labels-idx1-ubyte"), &[idx_labels(&[0, 1]), vec![0]].concat());
    assert_refused(&folder, &["train-labels-idx1-ubyte", "expected 10", "more follows"]);
}

#[test]
fn an_idx_header_that_announces_more_than_memory_is_refused_by_the_file_size() {
    let folder = idx();
    let mut images = idx_images(4);
    images[8..16].fill(0xff);
    write(folder.path().join("train-images-idx3-ubyte"), &images);
    assert_refused(&folder, &["train-images-idx3-ubyte", "4294967295x4294967295", "found 40"]);
}

#[test]
fn a_compressed_idx_file_too_short_for_what_its_header_announces_is_refused_unread() {
    let folder = idx();
    let mut images = idx_images(3);
    images[8..16].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x80, 0]);
    write(folder.path().join("t10k-images-idx3-ubyte.gz"), &gzip(&images));
    assert_refused(&folder, &["t10k-images-idx3-ubyte.gz", "32768x32768", "no compressed file"]);
}

#[test]
fn idx_images_and_labels_of_different_numbers_are_refused() {
    let folder = idx();
    write(folder.path().join("train-images-idx3-ubyte"), &idx_images(5));
    assert_refused(&folder, &["train-images-idx3-ubyte", "byte 4", "4 images", "found 5"]);
}

#[test]
fn idx_test_images_of_another_size_are_refused() {
    let folder = idx();
    let mut images = idx_images(3);
    images.swap(11, 15);
    write(folder.path().join("t10k-images-idx3-ubyte.gz"), &gzip(&images));
    assert_refused(&folder, &["t10k-images-idx3-ubyte.gz", "2x3", "3x2"]);
}

#[test]
fn an_idx_test_label_that_training_never_has_is_refused_with_its_byte_offset() {
    let folder = idx();
    write(folder.path().join("t10k-labels-idx1-ubyte.gz"), &gzip(&idx_labels(&[0, 1, 3])));
    assert_refused(&folder, &["t10k-labels-idx1-ubyte.gz", "byte 10", "label 3"]);
}

#[test]
fn idx_training_labels_with_a_gap_are_refused_with_the_byte_offset() {
    let folder = idx();
    write(folder.path().join("train-labels-idx1-ubyte"), &idx_labels(&[0, 1, 9, 0]));
    assert_refused(&folder, &["train-labels-idx1-ubyte", "byte 10", "label 9", "label 2"]);
}

#[test]
fn an_idx_file_without_examples_is_refused() {
    let folder = idx();
    write(folder.path().join("train-labels-idx1-ubyte"), &idx_labels(&[]));
    assert_refused(&folder, &["train-labels-idx1-ubyte", "byte 4", "found 0"]);
}

#[test]
fn a_missing_idx_file_is_refused_by_name() {
    let folder = idx();
    std::fs::remove_file(folder.path().join("t10k-labels-idx1-ubyte.gz")).unwrap();
    assert_refused(&folder, &["t10k-labels-idx1-ubyte[.gz]", "missing"]);
}

#[test]
fn a_folder_with_nothing_known_says_what_was_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("readme.txt"), b"");
    let path = folder.path().display().to_string();
    let parts = [&path, "data_batch_1.bin", "train.bin", "idx3-ubyte", "train/<class>"];
    assert_refused(&folder, &parts);
}

#[test]
fn two_data_sets_side_by_side_are_refused_by_name() {
    let (folder, _) = cifar10();
    std::fs::create_dir_all(folder.path().join("pets/train/cat")).unwrap();
    assert_refused(&folder, &["more than one", "cifar-10-batches-bin", "pets"]);
}

#[test]
fn a_path_that_does_not_exist_or_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cifar.tar.gz");
    let error = open(&file).unwrap_err();
    assert!(matches!(&error, DataError::Io { path, .. } if *path == file), "{error}");
    write(&file, b"");
    let error = open(&file).unwrap_err();
    assert!(matches!(&error, DataError::NotAFolder { path } if *path == file), "{error}");
}
