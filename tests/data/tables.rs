//! Tables of every kind, as other programs write them.

use std::fs;
use std::path::{Path, PathBuf};

use l2rw::data::{DataError, Table, TableOptions, read_table};
use tempfile::TempDir;

/// What fuzzing starts from: a byte for the kind, and the file.
fn seed(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/table").join(name);
    fs::read(path).unwrap()[1..].to_vec()
}

fn written(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn read(name: &str, bytes: &[u8]) -> Result<Table, DataError> {
    let folder = tempfile::tempdir().unwrap();
    read_table(&written(&folder, name, bytes), &TableOptions::default())
}

fn refusal(name: &str, bytes: &[u8]) -> String {
    read(name, bytes).unwrap_err().to_string()
}

fn strings(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn parquet_of_every_compression_is_read() {
    for name in ["plain.parquet", "snappy.parquet", "gzip.parquet"] {
        let table = read(name, &seed(name)).unwrap();
        assert_eq!(table.columns, ["a", "b"], "{name}");
        assert_eq!(table.values, [1.5, 1.0, 2.0, 2.0, 3.0, 3.0], "{name}");
        assert_eq!(table.labels, strings(&["x", "y", "x"]), "{name}");
        assert_eq!(table.trusted, Some(vec![true, false, true]), "{name}");
    }
    let table = read("lists.parquet", &seed("lists.parquet")).unwrap();
    assert_eq!(table.columns, ["v.0", "v.1"]);
    assert_eq!(table.values, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(table.labels, strings(&["1", "2"]));
}

#[test]
fn arrays_of_every_order_and_compression_are_read() {
    let expected = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let stored = read("stored.npz", &seed("stored.npz")).unwrap();
    assert_eq!((&stored.values[..], stored.labels), (&expected[..], strings(&["1", "2", "1"])));
    assert_eq!(stored.trusted, Some(vec![true, false, true]));
    let compressed = read("compressed.npz", &seed("compressed.npz")).unwrap();
    assert_eq!(compressed.values, expected);
    assert_eq!(compressed.labels, strings(&["a", "bc", "a"]));
}

#[test]
fn text_with_quotes_exponents_and_a_byte_order_mark_is_read() {
    let commas = read("names.csv", &seed("names.csv")).unwrap();
    assert_eq!(commas.values, [1.0, 2.5, -3e4, 0.5]);
    assert_eq!(commas.labels, strings(&["cat", "dog, small"]));
    assert_eq!(commas.trusted, Some(vec![true, false]));
    let tabs = read("numbers.tsv", &seed("numbers.tsv")).unwrap();
    assert_eq!((tabs.columns.len(), &tabs.values[..]), (2, &[1.0, 2.0, 3.0, 4.0][..]));
    // Classes that are numbers come by value.
    assert_eq!(tabs.dataset().unwrap().class_names, ["9", "10"]);
}

/// Damage that makes the decoder panic, which fuzzing found.
#[test]
fn a_parquet_file_whose_decoder_panics_is_an_error_that_names_it() {
    let message = refusal("panics.parquet", &seed("panics_the_decoder.parquet"));
    assert!(message.contains("panics.parquet") && message.contains("damaged"), "{message}");
}

#[test]
fn a_parquet_file_that_is_cut_is_an_error() {
    let whole = seed("plain.parquet");
    for len in [0, 4, 12, whole.len() / 2, whole.len() - 1] {
        let message = refusal("cut.parquet", &whole[..len]);
        assert!(message.contains("cut.parquet") && message.contains("cut or damaged"), "{message}");
    }
}

/// A page's header tells how long the page becomes, and readers make room for that.
#[test]
fn a_parquet_page_that_claims_gigabytes_is_refused_before_it_is_decompressed() {
    let mut bytes = seed("snappy.parquet");
    // Behind the magic number: the page's type, its decompressed size of 24 and its compressed size
    // of 22, and behind ten more bytes the page.
    assert_eq!(bytes[..10], *b"PAR1\x15\x04\x15\x30\x15\x2c");
    // The page gives up the four bytes that the other size takes.
    bytes[9] = 0x24;
    bytes.drain(18..22);
    bytes.splice(7..8, [0xfe, 0xff, 0xff, 0xff, 0x0f]);
    let message = refusal("large.parquet", &bytes);
    let told = message.contains("row group 0, column 'a'") && message.contains("2147483647 bytes");
    assert!(told, "{message}");
}

#[test]
fn what_is_wrong_is_told_by_line_and_column_and_at_no_great_length() {
    let message = refusal("wrong.csv", &seed("wrong.csv"));
    assert!(message.contains("wrong.csv") && message.contains("line"), "{message}");
    let deep = format!("{{'descr': '<f4', 'shape': {}}}", "(".repeat(40_000));
    let len = u16::try_from(deep.len()).unwrap().to_le_bytes();
    let message = refusal("deep.npy", &[b"\x93NUMPY\x01\x00", &len[..], deep.as_bytes()].concat());
    assert!(message.contains("deep.npy") && message.len() < 500, "{message}");
    let long = format!("a,label\n{},x\n", "z".repeat(100_000));
    let message = refusal("long.csv", long.as_bytes());
    assert!(message.contains("line 2, column 'a'") && message.len() < 500, "{message}");
}
