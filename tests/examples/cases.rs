//! Data as people have it, through the program: what is read, what is refused, what is said.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, RgbImage};
use tempfile::TempDir;

use super::command::{bar, good, l2rw, rows, text};

/// Sides that the bars of two classes are at.
const SIDES: [&str; 2] = ["left", "right"];

fn save(image: impl Into<DynamicImage>, folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.into().save(&path).unwrap();
    path
}

/// `count` pictures in the folder of each class, bars at one side or the other.
fn classes(folder: &Path, names: &[&str], count: u32) {
    for (class, name) in names.iter().enumerate() {
        for index in 0..count {
            let shade = index + 100 * class as u32;
            save(bar(SIDES[class % 2], shade), folder, &format!("{name}/{index:03}.png"));
        }
    }
}

/// The arguments of an audit of `data` with two trusted pictures a class and a step of a tiny
/// network: it shows what was read.
fn reading<'a>(data: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let quick = ["--model", "mlp", "--steps", "1", "--held-out", "0", "--clean-per-class", "2"];
    [&["audit", "--data", text(data), "--out", text(out)][..], &quick].concat()
}

fn folders() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    (folder, data, out)
}

/// What a command says that must end with an error.
fn error(arguments: &[&str]) -> String {
    let output = l2rw(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn class_names(out: &Path) -> Vec<String> {
    let summary = json(&out.join("summary.json"));
    let classes = summary["classes"].as_array().unwrap().iter();
    classes.map(|class| class["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn all_damaged_files_are_named_at_once_or_left_out_by_name() {
    let (_folder, data, out) = folders();
    classes(&data, &["cat", "dog"], 8);
    for name in ["cat/whole.png", "cat/whole.jpg", "dog/whole.webp"] {
        let path = save(bar("left", 900), &data, name);
        let bytes = std::fs::read(&path).unwrap();
        let cut = name.replace("whole", "cut");
        std::fs::write(data.join(cut), &bytes[..bytes.len() / 2]).unwrap();
    }
    std::fs::write(data.join("dog/empty.jpg"), "").unwrap();
    std::fs::write(data.join("dog/words.png"), "no picture").unwrap();
    // What systems leave behind is no file of anybody's.
    std::fs::write(data.join("dog/Thumbs.db"), "x").unwrap();
    std::fs::write(data.join("cat/.DS_Store"), "x").unwrap();
    let bad = ["cut.png", "cut.jpg", "cut.webp", "empty.jpg", "words.png"];
    let message = error(&reading(&data, &out));
    assert!(message.contains("5 picture(s) cannot be read"), "{message}");
    assert!(message.contains("--leave-out-unreadable"), "{message}");
    let printed = good(&[&reading(&data, &out)[..], &["--leave-out-unreadable"]].concat());
    assert!(printed.contains("left out, as they cannot be read: 5"), "{printed}");
    let notes = json(&out.join("summary.json"))["notes"].to_string();
    for name in bad {
        assert!([&message, &printed, &notes].iter().all(|text| text.contains(name)), "{name}");
    }
    assert!(!notes.contains("Thumbs.db") && !notes.contains("DS_Store"), "{notes}");
    let ranked = rows(&out.join("audit.csv"));
    assert!(ranked.iter().all(|row| !bad.iter().any(|name| row[0].ends_with(name))));
}

/// A `b`, its mirror image `d`, or its reflection `p`.
fn letter(name: char, index: u32) -> GrayImage {
    let (dx, dy) = (index % 3, index / 3 % 3);
    GrayImage::from_fn(28, 28, |x, y| {
        let x = if name == 'd' { 27 - x } else { x };
        let y = if name == 'p' { 27 - y } else { y };
        let stem = (8 + dx..11 + dx).contains(&x) && (5 + dy..22 + dy).contains(&y);
        let bowl = (10 + dx..19 + dx).contains(&x) && (14 + dy..22 + dy).contains(&y);
        let noise = ((x * 31 + y * 17 + index * 71) * 2_654_435 % 37) as u8;
        image::Luma([if stem || bowl { 255 - noise } else { noise }])
    })
}

fn idx(dimensions: &[usize], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    dimensions.iter().for_each(|&length| bytes.extend((length as u32).to_be_bytes()));
    [bytes, values.to_vec()].concat()
}

/// Letters in MNIST's format; `name` says where its files lie.
fn letters(folder: &Path, [one, other]: [char; 2], name: impl Fn(&str) -> String) {
    for (part, count) in [("train", 120), ("t10k", 40)] {
        let images = (0..count)
            .flat_map(|i| letter(if i % 2 == 0 { one } else { other }, i + count).into_raw());
        let images: Vec<u8> = images.collect();
        let labels: Vec<u8> = (0..count).map(|i| (i % 2) as u8).collect();
        let count = count as usize;
        for (file, bytes) in [
            (format!("{part}-images-idx3-ubyte"), idx(&[count, 28, 28], &images)),
            (format!("{part}-labels-idx1-ubyte"), idx(&[count], &labels)),
        ] {
            let path = folder.join(name(&file));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}

#[test]
fn letters_that_are_mirror_images_of_each_other_are_told_apart() {
    for pair in [['b', 'd'], ['b', 'p']] {
        let (_folder, data, out) = folders();
        letters(&data, pair, str::to_owned);
        let arguments = ["train", "--data", text(&data), "--clean-per-class", "5"];
        let quick = ["--batch", "32", "--steps", "40", "--out", text(&out)];
        good(&[&arguments[..], &quick].concat());
        let accuracy = json(&out.join("results.json"))["test_accuracy"].as_f64().unwrap();
        assert!(accuracy > 0.95, "{pair:?}: {accuracy}");
    }
}

#[test]
fn mnists_files_are_found_under_the_names_that_archives_give_them() {
    let dotted = |name: &str| name.replace("-idx", ".idx");
    let own_folder = |name: &str| format!("{0}/{0}", name.replace("-idx", ".idx"));
    for name in [&dotted as &dyn Fn(&str) -> String, &own_folder] {
        let (_folder, data, out) = folders();
        letters(&data, ['b', 'p'], name);
        let printed = good(&reading(&data, &out));
        assert!(printed.contains("116 examples of 2 classes, 4 trusted"), "{printed}");
    }
}

#[test]
fn classes_may_be_called_like_parts_and_val_serves_as_the_test_part() {
    let (_folder, data, out) = folders();
    classes(&data, &["bus", "test", "train"], 6);
    good(&reading(&data, &out));
    assert_eq!(class_names(&out), ["bus", "test", "train"]);

    let (_folder, data, out) = folders();
    classes(&data.join("train"), &["cat", "dog"], 6);
    classes(&data.join("val"), &["cat", "dog"], 3);
    let train = ["train", "--data", text(&data), "--out", text(&out), "--clean-per-class", "2"];
    let printed = good(&[&train[..], &["--model", "mlp", "--steps", "1"]].concat());
    assert!(printed.contains("18 pictures") && printed.contains("test part: "), "{printed}");
    assert!(json(&out.join("results.json"))["test_accuracy"].is_number());
}

/// A grey picture in colour where `hue` is above 0.
fn tinted(index: u32, hue: u8) -> RgbImage {
    let grey = bar(SIDES[index as usize % 2], index);
    RgbImage::from_fn(12, 12, |x, y| {
        let level = grey[(x, y)][0];
        image::Rgb([level.saturating_add(hue), level, level])
    })
}

#[test]
fn grey_and_coloured_pictures_go_together_whichever_are_trusted() {
    for hues in [[0, 60], [60, 0]] {
        let (folder, data, out) = folders();
        let clean = folder.path().join("clean");
        for index in 0..16 {
            let name = format!("{}/{index}.png", SIDES[index as usize % 2]);
            save(tinted(index, hues[0]), &data, &name);
            save(tinted(index + 50, hues[1]), &clean, &name);
        }
        let fixed = ["audit", "--data", text(&data), "--clean", text(&clean), "--out", text(&out)];
        let printed = good(&[&fixed[..], &["--model", "mlp", "--steps", "1"]].concat());
        assert!(printed.contains("32 pictures of 12x12 (height x width), RGB"), "{printed}");
    }
}

#[test]
fn formats_and_sizes_of_every_kind_are_read_and_what_is_passed_over_is_counted() {
    let (_folder, data, out) = folders();
    classes(&data, &["cat", "dog"], 4);
    for (at, ending) in ["webp", "bmp", "gif", "tif", "jfif", "jpg"].iter().enumerate() {
        let side = 14 + 3 * at as u32;
        let image = image::imageops::resize(
            &bar("right", 300 + at as u32),
            side,
            side + 5,
            image::imageops::FilterType::Nearest,
        );
        let (image, name) = (DynamicImage::from(image).into_rgb8(), format!("dog/x.{ending}"));
        if *ending == "jfif" {
            let path = save(image, &data, "dog/x.jpeg");
            std::fs::rename(path, data.join(name)).unwrap();
        } else {
            save(image, &data, &name);
        }
    }
    save(bar("left", 400), &data, "cat/more/deep.png");
    std::fs::write(data.join("cat/a.heic"), "x").unwrap();
    std::fs::write(data.join("dog/b.heic"), "x").unwrap();
    let printed = good(&reading(&data, &out));
    for part in [
        "14 pictures",
        "resized: 6; pictures have 7 size(s)",
        "passed over: 2 .heic, in 2 folder(s)",
        "passed over: 1 pictures further down",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let nested = good(&[&reading(&data, &out)[..], &["--nested", "--overwrite"]].concat());
    assert!(nested.contains("15 pictures"), "{nested}");
    let sized = good(&[&reading(&data, &out)[..], &["--size", "9x7", "--overwrite"]].concat());
    assert!(sized.contains("pictures of 9x7 (height x width)"), "{sized}");
}

#[test]
fn numbered_classes_are_in_numeric_order_and_called_by_their_folders() {
    let (_folder, data, out) = folders();
    let names: Vec<String> = (1..=12).map(|number| number.to_string()).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    classes(&data, &all, 3);
    good(&reading(&data, &out));
    assert_eq!(class_names(&out), all);
    for index in [1, 2] {
        std::fs::remove_file(data.join(format!("10/00{index}.png"))).unwrap();
    }
    let message = error(&[&reading(&data, &out)[..], &["--overwrite"]].concat());
    assert!(message.contains("class \"10\" has 1 examples"), "{message}");
}

#[test]
fn levels_of_sixteen_bits_that_lie_close_together_are_told_apart() {
    let (_folder, data, out) = folders();
    for index in 0..48_u32 {
        let (class, low) = if index % 2 == 0 { ("dark", 1000) } else { ("light", 1100) };
        let image = image::ImageBuffer::from_fn(12, 12, |x, y| {
            image::Luma([(low + (x * 7 + y * 5 + index * 3) % 20) as u16])
        });
        save(DynamicImage::ImageLuma16(image), &data, &format!("{class}/{index}.png"));
    }
    let train = ["train", "--data", text(&data), "--out", text(&out), "--clean-per-class", "4"];
    let printed = good(&[&train[..], &["--steps", "40", "--batch", "20"]].concat());
    assert!(printed.contains("with levels from 1000 to 1119; these became 0 and 255"), "{printed}");
    assert!(printed.contains("agrees with 100.0 % of the trusted labels"), "{printed}");
}

#[test]
fn names_in_any_writing_stay_as_they_are_in_files() {
    let (folder, data, out) = folders();
    let names = ["caf\u{e9}", "\u{43a}\u{43e}\u{442}", "\u{642}\u{637}", "\u{732b}"];
    classes(&data, &names, 4);
    // Another system writes the accent by itself.
    let clean = folder.path().join("clean");
    let decomposed = ["cafe\u{301}", names[1], names[2], names[3]];
    for (class, name) in decomposed.iter().enumerate() {
        let image = bar(SIDES[class % 2], 700 + class as u32);
        save(image, &clean, &format!("{name}/0.png"));
    }
    let fixed = ["audit", "--data", text(&data), "--clean", text(&clean), "--out", text(&out)];
    good(&[&fixed[..], &["--model", "mlp", "--steps", "1"]].concat());
    assert_eq!(class_names(&out), names);
    let ranked = rows(&out.join("audit.csv"));
    assert_eq!(ranked.len(), 16);
    assert!(ranked.iter().all(|row| row[0].contains(&row[1])), "{ranked:?}");
}

#[cfg(unix)]
#[test]
fn a_name_in_latin_1_is_found_again_from_what_an_audit_writes() {
    use std::os::unix::ffi::OsStrExt as _;
    let (folder, data, out) = folders();
    classes(&data, &["cat", "dog"], 6);
    let name = std::ffi::OsStr::from_bytes(b"Mu\xf1oz.png");
    std::fs::rename(data.join("cat/000.png"), data.join("cat").join(name)).unwrap();
    good(&reading(&data, &out));
    let listed = [rows(&out.join("audit.csv")), rows(&out.join("trusted.csv"))].concat();
    assert!(listed.iter().any(|row| row[0].ends_with("Mu%F1oz.png")), "{listed:?}");
    let list = folder.path().join("list.csv");
    let lines: Vec<String> =
        listed.iter().map(|row| format!("{},{}\n", &row[0], &row[1])).collect();
    std::fs::write(&list, format!("path,label\n{}", lines.concat())).unwrap();
    let again = folder.path().join("again");
    let printed = good(&reading(&list, &again));
    assert!(printed.contains("12 pictures"), "{printed}");
    let written = std::fs::read_to_string(again.join("audit.csv")).unwrap()
        + &std::fs::read_to_string(again.join("trusted.csv")).unwrap();
    assert!(written.contains("Mu%F1oz.png"));
}

#[test]
fn large_pictures_are_classified_in_batches_that_fit_the_device() {
    let (_folder, data, out) = folders();
    for index in 0..8 {
        save(tinted(index, 60), &data, &format!("{}/{index}.png", SIDES[index as usize % 2]));
    }
    let train = ["train", "--data", text(&data), "--out", text(&out), "--clean-per-class", "1"];
    let large = ["--size", "224", "--steps", "1", "--batch", "2", "--clean-batch", "2"];
    good(&[&train[..], &large].concat());
    let (model, csv) = (out.join("model.safetensors"), out.join("predictions.csv"));
    let predict = ["predict", "--data", text(&data), "--model", text(&model)];
    good(&[&predict[..], &["--out", text(&csv)]].concat());
    assert_eq!(rows(&csv).len(), 8);
}

#[test]
fn a_training_that_blows_up_is_an_error_that_names_the_step() {
    let (_folder, data, out) = folders();
    classes(&data, &["cat", "dog"], 8);
    let arguments = ["audit", "--data", text(&data), "--out", text(&out), "--model", "lenet5"];
    let wild = ["--clean-per-class", "2", "--steps", "40", "--learning-rate", "1e30"];
    let message = error(&[&arguments[..], &wild].concat());
    assert!(message.contains("step "), "{message}");
    assert!(!out.join("audit.csv").exists());
}

/// The most memory that a command had, in bytes; it must end well.
#[cfg(target_os = "linux")]
fn peak_memory(arguments: &[&str]) -> u64 {
    use std::process::{Command, Stdio};
    let mut command = Command::new(super::support::example(super::support::AUDIT));
    let mut child =
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        peak = peak.max(1024 * kib.unwrap_or(0));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    assert!(ended.success(), "{arguments:?}");
    peak
}

/// On a software driver, so that the device's memory is among it.
#[cfg(target_os = "linux")]
#[test]
fn a_data_set_takes_three_times_its_bytes_at_most() {
    let (folder, data, out) = folders();
    let large = folder.path().join("large");
    for (data, count) in [(&data, 20_000_usize), (&large, 100_000)] {
        std::fs::create_dir_all(data).unwrap();
        for (part, count) in [("train", count), ("t10k", 20)] {
            let images: Vec<u8> = (0..count * 784).map(|i| (i * 31 % 251) as u8).collect();
            let labels: Vec<u8> = (0..count).map(|i| (i % 2) as u8).collect();
            let file = |kind: &str| data.join(format!("{part}-{kind}-ubyte"));
            std::fs::write(file("images-idx3"), idx(&[count, 28, 28], &images)).unwrap();
            std::fs::write(file("labels-idx1"), idx(&[count], &labels)).unwrap();
        }
    }
    let peaks = [data, large].map(|data| {
        let train = ["train", "--data", text(&data), "--out", text(&out), "--overwrite"];
        let quick = ["--clean-per-class", "2", "--model", "mlp", "--steps", "2"];
        peak_memory(&[&train[..], &quick].concat())
    });
    let (more, bytes) = (peaks[1].saturating_sub(peaks[0]), 80_000 * 784);
    assert!(more > bytes / 2 && more < 3 * bytes, "{more} for {bytes} bytes");
}
