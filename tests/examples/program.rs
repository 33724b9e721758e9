//! The program `l2rw` on small data of everyday kinds.

use std::path::Path;

use super::command::{QUICK, bar, bars, good, refused, rows, text};

#[test]
fn what_has_a_left_and_a_right_is_not_mirrored_unless_asked() {
    for sides in [["left", "right"], ["top", "bottom"]] {
        let folder = tempfile::tempdir().unwrap();
        let [data, clean] = bars(folder.path(), sides, 80);
        let out = folder.path().join("out");
        let fixed = ["audit", "--data", text(&data), "--clean", text(&clean)];
        let printed = good(&[&fixed[..], &["--out", text(&out)], &QUICK].concat());
        assert!(printed.contains("not mirrored (--mirror)"), "{printed}");
        let rows = rows(&out.join("audit.csv"));
        let found = rows[..16].iter().filter(|row| row[0].contains("wrong")).count();
        assert!(found >= 15, "{sides:?}: {found} of 16");
    }
}

#[test]
fn a_class_that_nobody_vouches_for_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let [data, clean] = bars(folder.path(), ["left", "right"], 12);
    std::fs::remove_dir_all(clean.join("right")).unwrap();
    let out = folder.path().join("out");
    let fixed = ["audit", "--data", text(&data), "--clean", text(&clean), "--out", text(&out)];
    let message = refused(&fixed);
    assert!(message.contains("no trusted example of right"), "{message}");
}

#[test]
fn a_network_that_knows_nothing_gives_no_estimate() {
    let folder = tempfile::tempdir().unwrap();
    // All labels are right, and the classes are alike.
    let data = folder.path().join("data");
    for class in ["a", "b", "c"] {
        std::fs::create_dir_all(data.join(class)).unwrap();
        for index in 0..20 {
            let path = data.join(class).join(format!("{index}.png"));
            bar("left", index * 3 + class.len() as u32).save(path).unwrap();
        }
    }
    let out = folder.path().join("out");
    let fixed = ["audit", "--data", text(&data), "--clean-per-class", "4", "--out", text(&out)];
    let printed = good(&[&fixed[..], &["--model", "lenet5", "--steps", "1"]].concat());
    assert!(printed.contains("may be chance"), "{printed}");
    let summary = std::fs::read_to_string(out.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    for class in summary["classes"].as_array().unwrap() {
        assert!(class["noise_rate"].is_null(), "{class}");
    }
    let page = std::fs::read_to_string(out.join("audit.html")).unwrap();
    assert!(page.contains("may be chance"));
}

#[test]
fn copies_of_trusted_examples_are_not_doubted() {
    let folder = tempfile::tempdir().unwrap();
    let [data, clean] = bars(folder.path(), ["left", "right"], 20);
    // One under its own label, and one under another.
    for (index, class) in [(20, "left"), (21, "right")] {
        bar("left", index).save(data.join(class).join(format!("copy{index}.png"))).unwrap();
    }
    let out = folder.path().join("out");
    let fixed = ["audit", "--data", text(&data), "--clean", text(&clean), "--out", text(&out)];
    let printed = good(&[&fixed[..], &QUICK[..2], &["--steps", "2"]].concat());
    assert!(printed.contains("2 examples are copies of trusted ones"), "{printed}");
    assert!(printed.contains("another label than their trusted copy"), "{printed}");
    assert!(rows(&out.join("audit.csv")).iter().all(|row| !row[0].contains("copy")));
}

#[test]
fn the_first_command_draws_trusted_examples_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let [data, _] = bars(folder.path(), ["left", "right"], 20);
    let unknown = data.join("unknown");
    std::fs::create_dir(&unknown).unwrap();
    for index in 0..3 {
        bar("left", index).save(unknown.join(format!("{index}.png"))).unwrap();
    }
    let [plain, less] = ["plain", "less"].map(|name| folder.path().join(name));
    let quick = ["--model", "mlp", "--steps", "2", "--held-out", "0"];
    let first = ["audit", "--data", text(&data), "--out", text(&plain)];
    let printed = good(&[&first[..], &quick].concat());
    // A class of three has none to spare.
    assert!(printed.contains("1 of each class were drawn at random"), "{printed}");
    assert_eq!(rows(&plain.join("trusted.csv")).len(), 3);
    let summary = std::fs::read_to_string(plain.join("summary.json")).unwrap();
    assert!(summary.contains("nobody said which examples are trusted"), "{summary}");
    let without = ["audit", "--data", text(&data), "--out", text(&less)];
    let balanced = ["--ignore-label", "unknown", "--class-weights", "balanced"];
    let printed = good(&[&without[..], &quick, &balanced].concat());
    assert!(printed.contains("3 examples labelled 'unknown' are left out"), "{printed}");
    assert!(printed.contains("4 of each class were drawn at random"), "{printed}");
    let audited = rows(&less.join("audit.csv"));
    assert!(audited.iter().all(|row| !row[0].contains("unknown")), "{audited:?}");
    for (option, value, text) in [
        ("--ignore-label", "nowhere", "left, right, unknown"),
        ("--class-weights", "1,2", "2 factors do not fit 3 classes"),
    ] {
        let arguments = [&first[..], &quick, &["--overwrite", option, value]].concat();
        let message = refused(&arguments);
        assert!(message.contains(text), "{message}");
    }
    // What is to be used afterwards has trusted examples by somebody's word.
    let message = refused(&["train", "--data", text(&data), "--out", text(&plain)]);
    assert!(message.contains("which examples are trusted?"), "{message}");
}

#[test]
fn decisions_are_trained_with_and_not_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let [data, clean] = bars(folder.path(), ["left", "right"], 20);
    let path = |name: &str| folder.path().join(name);
    let fixed = ["audit", "--data", text(&data), "--clean", text(&clean), "--model", "lenet5"];
    let steps = ["--steps", "2", "--out"];
    good(&[&fixed[..], &steps, &[text(&path("one"))]].concat());
    let names: Vec<String> =
        rows(&path("one").join("audit.csv")).iter().map(|row| row[0].to_owned()).collect();
    let wrong = names.iter().find(|name| name.contains("left-003-wrong")).unwrap();
    let right = names.iter().find(|name| name.contains("left-000-right")).unwrap();
    let none = names.iter().find(|name| name.contains("right-000-right")).unwrap();
    let decisions =
        format!("example,decision,label\n{wrong},wrong,left\n{right},right,left\n{none},wrong,\n");
    std::fs::write(path("decisions.csv"), decisions).unwrap();
    let (two, file) = (path("two"), path("decisions.csv"));
    let printed = good(&[&fixed[..], &steps, &[text(&two), "--decisions", text(&file)]].concat());
    assert!(printed.contains("1 labels are right, 1 corrected, 1 examples left out"), "{printed}");
    let ranked = rows(&two.join("audit.csv"));
    assert_eq!(ranked.len(), names.len() - 3);
    assert!(ranked.iter().all(|row| ![wrong, right, none].iter().any(|name| row[0] == **name)));
    let (wrong_file, page) = (path("wrong.csv"), path("three"));
    std::fs::write(&wrong_file, "example,decision,label\nnowhere.png,right,left\n").unwrap();
    let more = [text(&page), "--decisions", text(&wrong_file)];
    assert!(refused(&[&fixed[..], &steps, &more].concat()).contains("nowhere.png"));
}

/// Two clouds of points as a table with a name, a label and what is trusted; every tenth label is
/// wrong.
fn clouds(path: &Path, count: usize) {
    let mut csv = csv::Writer::from_path(path).unwrap();
    csv.write_record(["id", "x", "y", "far", "label", "trusted"]).unwrap();
    for index in 0..count {
        let class = index % 2;
        let trusted = index < 16;
        let wrong = !trusted && index % 10 < 2 && index % 20 < 10;
        let noise = |k: usize| ((index * 7919 + k * 104_729) % 1000) as f64 / 500.0 - 1.0;
        let label = ["low", "high"][if wrong { 1 - class } else { class }];
        let x = 2.0 * class as f64 + noise(1);
        let (y, far) = (noise(2) - 1.5 * class as f64, 1e6 + 1e3 * noise(3));
        let name = format!("{}{index}", if wrong { "wrong" } else { "right" });
        let (x, y, far) = (x.to_string(), y.to_string(), far.to_string());
        let trusted = if trusted { "yes" } else { "no" };
        csv.write_record([&*name, &*x, &*y, &*far, label, trusted]).unwrap();
    }
    csv.flush().unwrap();
}

#[test]
fn tables_are_audited_trained_on_and_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    clouds(&path("points.csv"), 216);
    let data = path("points.csv");
    let fixed = ["--data", text(&data), "--name-column", "id"];
    good(&[&["audit"], &fixed[..], &["--out", text(&path("audit"))]].concat());
    let ranked = rows(&path("audit").join("audit.csv"));
    assert_eq!(ranked.len(), 200);
    let found = ranked[..20].iter().filter(|row| row[0].starts_with("wrong")).count();
    assert!(found >= 18, "{found} of 20");

    let out = path("train");
    good(&[&["train"], &fixed[..], &["--steps", "60", "--out", text(&out)]].concat());
    let (model, predictions) = (out.join("model.safetensors"), path("predictions.csv"));
    let predict = ["predict", "--model", text(&model), "--out", text(&predictions)];
    good(&[&predict[..], &fixed].concat());
    let predicted = rows(&predictions);
    assert_eq!(predicted.len(), 216);
    let right = predicted.iter().filter(|row| {
        let index: usize = row[0].trim_start_matches(char::is_alphabetic).parse().unwrap();
        row[1] == *["low", "high"][index % 2]
    });
    assert!(right.count() > 200);
    // The same command gives the same bits, and other columns are refused by name.
    good(&[&predict[..], &fixed].concat());
    assert_eq!(predicted, rows(&predictions));
    std::fs::write(path("other.csv"), "x,y\n1,2\n").unwrap();
    let message = refused(&[&predict[..], &["--data", text(&path("other.csv"))]].concat());
    assert!(message.contains("has 2 features") && message.contains("far"), "{message}");
}

#[test]
fn what_is_wrong_in_a_table_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.csv");
    let out = folder.path().join("out");
    std::fs::write(&path, "x,y,label\n1,2,a\nn/a,3,a\n4,nan,b\n5,6,\n7,1e39,b\n").unwrap();
    let arguments = ["audit", "--data", text(&path), "--clean-per-class", "1", "--out", text(&out)];
    let message = refused(&arguments);
    for part in [
        "line 3, column 'x': 'n/a'",
        "line 4, column 'y': 'nan'",
        "line 5: no label",
        "line 6, column 'y': '1e39'",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// A rate at which the first step makes the second one overflow.
#[test]
fn steps_that_are_not_finite_end_a_training_or_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("points.csv"), folder.path().join("out"));
    clouds(&data, 64);
    let fixed = ["train", "--data", text(&data), "--name-column", "id", "--steps", "9"];
    let wild = ["--learning-rate", "1e38", "--out", text(&out)];
    let message = refused(&[&fixed[..], &wild].concat());
    assert!(message.contains("not finite"), "{message}");
    let kept = ["--not-finite", "skip-step", "--overwrite"];
    let printed = good(&[&fixed[..], &wild, &kept].concat());
    assert!(printed.contains("steps were left out"), "{printed}");
    let results = std::fs::read(out.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_slice(&results).unwrap();
    assert_eq!(results["skipped_steps"], 8);
}

/// A `.npy` of little-endian numbers of four bytes.
fn npy(path: &Path, dtype: &str, shape: &str, words: &[[u8; 4]]) {
    let mut head = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    head.push_str(&" ".repeat(63 - (head.len() + 10) % 64));
    head.push('\n');
    let len = (head.len() as u16).to_le_bytes();
    let bytes = [b"\x93NUMPY\x01\x00", &len[..], head.as_bytes(), &words.concat()].concat();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn labels_of_one_array_are_not_taken_for_those_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let values: Vec<[u8; 4]> = (0..80u8).map(|i| f32::from(i).to_le_bytes()).collect();
    let labels: Vec<[u8; 4]> = (0..40).map(|i: i32| (i % 2).to_le_bytes()).collect();
    let rows: Vec<[u8; 4]> = (0..8).map(i32::to_le_bytes).collect();
    let (data, given, trusted) = (path("data.npy"), path("labels.npy"), path("rows.npy"));
    npy(&data, "<f4", "40, 2", &values);
    npy(&given, "<i4", "40,", &labels);
    npy(&trusted, "<i4", "8,", &rows);
    let out = path("out");
    let fixed = ["audit", "--data", text(&data), "--labels", text(&given), "--out", text(&out)];
    let message = refused(&[&fixed[..], &["--clean", text(&data)]].concat());
    assert!(message.contains("--trusted-rows"), "{message}");
    npy(&path("same.npy"), "<f4", "40, 2", &[0.5f32.to_le_bytes(); 80]);
    let same = path("same.npy");
    let copies = ["audit", "--data", text(&same), "--labels", text(&given), "--out", text(&out)];
    let message = refused(&[&copies[..], &["--trusted-rows", text(&trusted)]].concat());
    assert!(message.contains("all 32 examples are copies"), "{message}");
    good(&[&fixed[..], &["--trusted-rows", text(&trusted), "--steps", "2"]].concat());
    assert_eq!(self::rows(&out.join("trusted.csv")).len(), 8);
}

#[test]
fn a_trained_network_classifies_pictures_of_other_sizes_in_any_folders() {
    let folder = tempfile::tempdir().unwrap();
    let [data, clean] = bars(folder.path(), ["left", "right"], 40);
    let (out, new) = (folder.path().join("out"), folder.path().join("new/some/where"));
    let fixed = ["train", "--data", text(&data), "--clean", text(&clean), "--out", text(&out)];
    good(&[&fixed[..], &QUICK[..4]].concat());
    std::fs::create_dir_all(&new).unwrap();
    for index in 0..6 {
        let picture = bar(["left", "right"][index % 2], 500 + index as u32);
        let filter = image::imageops::FilterType::Nearest;
        let large = image::imageops::resize(&picture, 36, 36, filter);
        large.save(new.join(format!("{index}.png"))).unwrap();
    }
    let model = out.join("model.safetensors");
    let predictions = folder.path().join("deep/predictions.csv");
    let data = folder.path().join("new");
    let arguments = ["predict", "--model", text(&model), "--data", text(&data)];
    good(&[&arguments[..], &["--out", text(&predictions)]].concat());
    let rows = rows(&predictions);
    let classes: Vec<&str> = rows.iter().map(|row| &row[1]).collect();
    assert_eq!(classes, ["left", "right", "left", "right", "left", "right"]);
}

#[test]
fn the_doctor_finds_a_good_adapter_well() {
    let printed = good(&["doctor"]);
    assert!(printed.contains("a step of resnet8-w8") && printed.ends_with("all is well\n"));
    assert!(refused(&["doctor", "--adapter", "no such card"]).contains("no such card"));
}

#[test]
fn tables_in_the_documents_are_those_of_the_runs() {
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("measurements.md");
    std::fs::copy(documents.join("measurements.md"), &page).unwrap();
    good(&["report", text(&documents.join("results")), "--into", text(&page)]);
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert!(text(&page).contains("| l2rw | 5 |"));
    assert_eq!(text(&page), text(&documents.join("measurements.md")));
}

#[test]
fn completions_name_the_commands() {
    let printed = good(&["completions", "bash"]);
    for command in ["audit", "train", "predict", "doctor"] {
        assert!(printed.contains(command), "{command}");
    }
}
