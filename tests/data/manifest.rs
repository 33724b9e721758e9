//! Lists of pictures as CSV.

use std::path::PathBuf;

use super::support::{save, write};
use image::{GrayImage, Rgb, RgbImage};
use l2rw::data::{DataError, Manifest, PictureOptions, read_manifest};
use tempfile::TempDir;

/// Grey pictures `1.png` to `6.png` in `pictures`, whose levels are their numbers.
fn listed(csv: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for level in 1..=6_u8 {
        let image = GrayImage::from_pixel(2, 1, [level].into());
        save(&folder, &format!("pictures/{level}.png"), image);
    }
    let path = folder.path().join("list.csv");
    write(&path, csv.as_bytes());
    (folder, path)
}

#[track_caller]
fn read(csv: &str) -> Manifest {
    let (_folder, path) = listed(csv);
    read_manifest(&path, &PictureOptions::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn assert_refused(csv: &str, numbers: &[u64], parts: &[&str]) {
    let (_folder, path) = listed(csv);
    let error = read_manifest(&path, &PictureOptions::default()).unwrap_err();
    let text = error.to_string();
    let DataError::ManifestLines { lines, .. } = error else { panic!("{text}") };
    let found: Vec<u64> = lines.iter().map(|(number, _)| *number).collect();
    assert_eq!(found, numbers, "{text}");
    for part in [&["list.csv"], parts].concat() {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
}

#[test]
fn a_list_gives_all_parts_of_a_set() {
    let manifest = read(
        "\u{feff}Label,extra,PATH,trusted,split\n\
         10,x,pictures/1.png,0,train\n\
         9,x,pictures/2.png,,\n\
         9,x,pictures/3.png,yes,train\n\
         10,x,pictures/4.png,False,test\n\
         10,x,pictures/5.png,no,val\n",
    );
    let train = &manifest.train;
    assert_eq!(train.set.class_names, ["9", "10"]);
    assert_eq!((&train.set.labels[..], train.files.len()), (&[1, 0][..], 2));
    assert!(train.files[1].ends_with("pictures/2.png"));
    let trusted = manifest.trusted.unwrap();
    assert_eq!((trusted.set.image(0).unwrap(), &trusted.set.labels[..]), (&[3, 3][..], &[0][..]));
    assert_eq!(trusted.absent_classes(), [1]);
    let test = manifest.test.unwrap();
    assert_eq!((test.set.image(0).unwrap(), test.set.len()), (&[4, 4][..], 1));
    assert!(manifest.notes.to_string().contains("1 lines of another test part"));
}

#[test]
fn val_serves_where_no_line_is_of_the_test_part_and_both_may_be_absent() {
    let manifest = read("path,label,split\npictures/1.png,a,\npictures/2.png,a,VAL\n");
    assert_eq!(manifest.test.unwrap().set.len(), 1);
    assert_eq!(manifest.notes.test_part, Some("val".into()));
    assert_eq!(manifest.trusted, None);
    let manifest = read("path,label\npictures/1.png,a\n");
    assert_eq!((manifest.test, manifest.notes.test_part), (None, None));
}

#[test]
fn all_wrong_lines_are_named_at_once() {
    let list = "path,label,trusted,split\n\
         pictures/1.png,a,maybe,train\n\
         pictures/2.png,a,1,test\n\
         pictures/3.png,a,1,later\n\
         pictures/4.png,a\n\
         pictures/5.png,,0,train\n\
         pictures/6.png,a,0,train\n\
         pictures/6.png,b,0,train\n";
    let parts = ["line 2", "maybe", "later", "2 fields", "empty", "listed before"];
    assert_refused(list, &[2, 3, 4, 5, 6, 8], &parts);
}

#[test]
fn lists_without_what_is_needed_are_refused() {
    assert_refused("file,label\npictures/1.png,a\n", &[1], &["\"path\""]);
    assert_refused("path\npictures/1.png\n", &[1], &["\"label\""]);
    assert_refused("path,label\n", &[1], &["no line"]);
    assert_refused("", &[1], &["\"path\""]);
    assert_refused("path,label,trusted\npictures/1.png,a,1\n", &[1], &["training part"]);
    let list = "path,label,trusted\npictures/1.png,a,0\npictures/2.png,b,1\n";
    assert_refused(list, &[3], &["training part has label \"b\""]);
}

#[test]
fn pictures_that_a_list_names_and_that_are_not_there_are_named() {
    let (_folder, path) = listed("path,label\npictures/1.png,a\nabsent.png,a\n");
    let error = read_manifest(&path, &PictureOptions::default()).unwrap_err().to_string();
    assert!(error.contains("absent.png: cannot open it"), "{error}");
    let leave_out_unreadable = true;
    let options = PictureOptions { leave_out_unreadable, ..PictureOptions::default() };
    let manifest = read_manifest(&path, &options).unwrap();
    assert_eq!((manifest.train.set.len(), manifest.notes.left_out.len()), (1, 1));
}

#[test]
fn all_parts_of_a_list_have_one_shape() {
    let (folder, path) =
        listed("path,label,trusted\npictures/1.png,a,0\npictures/2.png,a,0\ncolour.png,a,1\n");
    save(&folder, "colour.png", RgbImage::from_pixel(7, 7, Rgb([1, 2, 3])));
    let manifest = read_manifest(&path, &PictureOptions::default()).unwrap();
    let trusted = manifest.trusted.unwrap().set;
    assert_eq!(trusted.image(0).unwrap(), [1, 2, 3, 1, 2, 3]);
    assert_eq!(manifest.train.set.image(1).unwrap(), [2; 6]);
}

#[cfg(unix)]
#[test]
fn a_name_that_is_not_utf_8_is_found_by_what_an_audit_writes() {
    use std::os::unix::ffi::OsStrExt as _;
    let (folder, path) = listed("path,label\npictures/1.png,a\n");
    let name = std::path::Path::new(std::ffi::OsStr::from_bytes(b"Mu\xf1oz 100%41.png"));
    let pictures = folder.path().join("pictures");
    std::fs::rename(pictures.join("2.png"), pictures.join(name)).unwrap();
    // What the web writes for a blank is a name of its own.
    std::fs::rename(pictures.join("3.png"), pictures.join("a%20b.png")).unwrap();
    let written = l2rw::data::path_text(&pictures.join(name));
    assert!(written.ends_with("Mu%F1oz 100%2541.png"), "{written}");
    let csv = format!("path,label\n{written},a\npictures/a%20b.png,a\n");
    write(&path, csv.as_bytes());
    let train = read_manifest(&path, &PictureOptions::default()).unwrap().train;
    assert_eq!(train.files, [pictures.join(name), pictures.join("a%20b.png")]);
}
