//! The audit as a user runs it, on images whose wrong labels are plain to see.

use std::ops::Range;
use std::path::Path;
use std::process::Output;

use super::support;

fn run(arguments: &[&str]) -> Output {
    support::run(support::AUDIT, &[&["audit"], arguments].concat())
}

/// Images of one hue a class; those in `strays` lie in the folder of the other class.
fn image_folder(folder: &Path, indices: Range<u32>, strays: &[u32]) {
    for (class, hue) in [("blue, light", [40, 60, 220]), ("red", [220, 60, 40])] {
        let class_folder = folder.join(class);
        std::fs::create_dir_all(&class_folder).unwrap();
        for index in indices.clone() {
            let [r, g, b] = hue;
            let [r, b] = if strays.contains(&index) { [b, r] } else { [r, b] };
            let image = image::RgbImage::from_fn(12, 12, |x, y| {
                let noise = ((x * 31 + y * 17 + index * 71) * 2_654_435 % 31) as u8;
                // No two are copies.
                let b = if (x, y) == (0, 0) { 50 + index as u8 } else { b };
                image::Rgb([r - noise, g + noise, b - noise])
            });
            image.save(class_folder.join(format!("{index:03}.png"))).unwrap();
        }
    }
}

#[test]
fn strays_come_first_and_everything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (data, clean) = (folder.path().join("data"), folder.path().join("clean"));
    let strays = [3, 17, 30, 41];
    image_folder(&data, 0..50, &strays);
    image_folder(&clean, 50..58, &[]);
    let out = folder.path().join("out");
    let paths = [&data, &clean, &out].map(|path| path.to_str().unwrap());
    let arguments = ["--data", paths[0], "--clean", paths[1], "--out", paths[2]];
    let quick = ["--steps", "60", "--batch", "50", "--model", "lenet5", "--held-out", "2"];
    let output = run(&[arguments.as_slice(), &quick].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut csv = csv::Reader::from_path(out.join("audit.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 100);
    for (place, row) in rows.iter().enumerate() {
        let stray = strays.iter().any(|stray| row[0].ends_with(&format!("{stray:03}.png")));
        assert_eq!(stray, place < 2 * strays.len(), "{row:?}");
        assert_eq!(row[1] != row[2], stray, "given and believed: {row:?}");
        assert_eq!(row[4], (place + 1).to_string());
    }
    let summary = std::fs::read_to_string(out.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    for class in summary["classes"].as_array().unwrap() {
        let rate = class["noise_rate"].as_f64().unwrap();
        assert!((rate - 0.08).abs() < 1e-9, "4 of 50 are wrong: {class}");
    }
    assert!(image::open(out.join("suspects.png")).unwrap().width() > 500);
    assert!(out.join("model.safetensors").is_file());
    assert_eq!(std::fs::read_to_string(out.join("trusted.csv")).unwrap().lines().count(), 17);
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    image_folder(&data, 0..4, &[]);
    let other = folder.path().join("other");
    std::fs::create_dir_all(other.join("green")).unwrap();
    std::fs::copy(data.join("red/000.png"), other.join("green/000.png")).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for (arguments, expected) in [
        (vec!["--data".to_owned(), text(&data), "--clean".into(), text(&other)], "green"),
        (vec!["--data".into(), text(&data), "--clean-per-class".into(), "4".into()], "4 examples"),
        (
            vec![
                "--data".into(),
                text(&folder.path().join("none")),
                "--clean-per-class".into(),
                "1".into(),
            ],
            "none",
        ),
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output =
            run(&[arguments.as_slice(), &["--out", &text(&folder.path().join("out"))]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected) && !stderr.contains("panicked"), "{stderr}");
    }
}
