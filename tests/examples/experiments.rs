//! The published experiments as a user runs them: bad input, every one of them, and the same run
//! twice.

use std::path::Path;
use std::process::Output;

use l2rw::train::Recipe;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::support::{self, image_folder};

fn run(arguments: &[&str]) -> Output {
    support::run(support::FLIP, arguments)
}

/// Runs with bad input and returns the one line it prints.
fn refused(arguments: &[&str], out: &Path) -> String {
    let out_argument = out.to_str().unwrap();
    let output = run(&[arguments, &["--out", out_argument]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    // Mesa's own complaint about a missing desktop is not ours.
    let ours: Vec<&&str> = lines.iter().filter(|line| !line.contains("XDG_RUNTIME_DIR")).collect();
    assert_eq!(ours.len(), 1, "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(!out.join("results.json").exists());
    ours[0].to_string()
}

#[test]
fn numbers_out_of_range_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (arguments, expected) in [
        (["--noise", "1.5"], "1.5"),
        (["--noise", "0.1,1.5"], "1.5"),
        (["--majority", "0.9"], "cifar_backgroundflip has no --majority"),
        (["--runs", "0"], "--runs"),
        (["--noise", "-0.1"], "-0.1"),
        (["--noise", "nan"], "NaN"),
        (["--learning-rate", "0"], "--learning-rate"),
        (["--batch", "0"], "--batch"),
        (["--batch", "many"], "many"),
        (["--bacth", "100"], "--bacth"),
        (["--clean-per-class", "500"], "500"),
        (["--background", "10"], "10"),
        (["--model", "resnet9"], "9"),
        (["--batch", "100000"], "100000"),
        (["--data", "/nowhere"], "/nowhere"),
        (["--methods", "l2rw,nonesuch"], "nonesuch"),
        (["--methods", "baseline+now"], "+now"),
        (["--methods", "l2rw+es+ft,mwn, l2rw+ft+es"], "'l2rw+es+ft' twice"),
        (["--methods", "clean-only+es"], "clean-only+es"),
    ] {
        let message = refused(&[arguments[0], arguments[1]], &out);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn a_model_beyond_the_adapters_limits_is_refused_by_the_name_of_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // 4,000 × 32 × 32 × 160 floats in one activation.
    let arguments = ["--preset", "quick", "--model", "wrn-10-10", "--batch", "4000"];
    let message = refused(&arguments, &out);
    assert!(message.contains("tensor '") && message.contains("134217728"), "{message}");
}

#[test]
fn damaged_data_is_refused_by_file_and_size() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let data_argument = data.to_str().unwrap().to_owned();
    let arguments =
        ["--data", data_argument.as_str(), "--clean-per-class", "1", "--background", "0"];

    image_folder(&data, 3, 8);
    let cut = data.join("train/dog/0001.png");
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let message = refused(&arguments, &out);
    assert!(message.contains("1 picture(s)") && message.contains("0001.png"), "{message}");

    std::fs::remove_dir_all(data.join("train/dog")).unwrap();
    std::fs::create_dir(data.join("train/dog")).unwrap();
    assert!(refused(&arguments, &out).contains("dog"));

    let cifar = folder.path().join("cifar-10-batches-bin");
    std::fs::create_dir(&cifar).unwrap();
    for name in (1..=5).map(|i| format!("data_batch_{i}.bin")).chain(["test_batch.bin".into()]) {
        std::fs::write(cifar.join(name), vec![0; 3073 * 10]).unwrap();
    }
    std::fs::write(cifar.join("batches.meta.txt"), "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n").unwrap();
    std::fs::write(cifar.join("data_batch_3.bin"), vec![0; 3073 * 10 - 5]).unwrap();
    let message = refused(&["--data", cifar.to_str().unwrap()], &out);
    assert!(message.contains("data_batch_3.bin") && message.contains("30725"), "{message}");

    let mut wrong_label = vec![0; 3073 * 10];
    wrong_label[3073 * 4] = 77;
    std::fs::write(cifar.join("data_batch_3.bin"), wrong_label).unwrap();
    let message = refused(&["--data", cifar.to_str().unwrap()], &out);
    assert!(message.contains("data_batch_3.bin") && message.contains("77"), "{message}");
}

#[test]
fn an_output_folder_that_cannot_be_made_is_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"mine").unwrap();
    let message = refused(&["--steps", "1"], &file.join("out"));
    assert!(message.contains("file"), "{message}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}

/// Runs the smallest size of an experiment.
fn smallest(example: &str, out: &Path, arguments: &[&str]) {
    let small = ["--preset", "quick", "--model", "mlp", "--steps", "2", "--batch", "20"];
    let rest = ["--clean-batch", "10", "--out", out.to_str().unwrap()];
    let output = support::run(example, &[&small[..], &rest, arguments].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {stderr}");
}

fn results(folder: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("results.json")).unwrap()).unwrap()
}

#[test]
fn all_methods_run_by_one_name_and_leave_finite_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    smallest(support::FLIP, &out, &["--methods", "all", "--images-per-class", "40"]);
    let results = results(&out);
    let recipes = Recipe::all();
    let names: Vec<&str> = results["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, recipes.iter().map(|r| r.to_string()).collect::<Vec<_>>());
    for name in names {
        let bytes = std::fs::read(out.join(format!("{name}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let of_model = |view: &TensorView<'_>| view.dtype() == Dtype::F32;
        for (tensor, view) in file.tensors().into_iter().filter(|(_, view)| of_model(view)) {
            let values = view.data().chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap()));
            assert!(values.into_iter().all(f32::is_finite), "{name}: {tensor}");
        }
    }
    assert!(out.join("weight_function.png").exists());
}

#[test]
fn long_tails_have_no_wrong_labels_and_fewer_images() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let arguments = ["--imbalance", "10", "--methods", "mwn", "--images-per-class", "60"];
    smallest("cifar_longtail", &out, &arguments);
    let results = results(&out);
    // 50 images of the largest class after ten trusted ones, 5 of the smallest.
    let images = results["config"]["train_images"].as_u64().unwrap();
    assert!((180..250).contains(&images), "{images}");
    assert_eq!(results["config"]["spoiling"]["factor"], 10.0);
    assert_eq!(results["methods"][0]["corrupted_share"], 0.0);
}

#[test]
fn every_experiment_runs_and_says_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for (example, kind, several) in [
        ("cifar_uniformflip", "uniform_flip", ["--runs", "2"]),
        ("cifar_flip", "two_class_flip", ["--noise", "0.2"]),
        ("noise_level", "background_flip", ["--noise", "0,0.3"]),
        ("clean_set_size", "background_flip", ["--clean-per-class", "2,4"]),
        ("mnist_imbalance", "two_digits", ["--majority", "0.9,0.95"]),
    ] {
        let out = folder.path().join(example);
        let methods = ["--methods", "l2rw"];
        let size: &[&str] = match example {
            "mnist_imbalance" => &[],
            "clean_set_size" => &["--images-per-class", "40"],
            _ => &["--images-per-class", "40", "--clean-per-class", "4"],
        };
        smallest(example, &out, &[&several[..], &methods, size].concat());
        let runs = l2rw::report::runs::read(&out).unwrap();
        assert_eq!(runs.len(), if several[0] == "--noise" && several[1] == "0.2" { 1 } else { 2 });
        for run in &runs {
            let config = &run.results.config;
            assert_eq!(
                (&config["experiment"], &config["spoiling"]["kind"]),
                (&example.into(), &kind.into())
            );
        }
        let figure = out.join("figure.png");
        assert_eq!(figure.exists(), runs.len() > 1, "{example}");
    }
}

#[test]
fn images_never_seen_are_weighed_in_two_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let size = ["--images-per-class", "40", "--clean-per-class", "4"];
    smallest("weight_distribution", &out, &size);
    for picture in ["unseen_all.png", "unseen_class.png"] {
        image::open(out.join(picture)).unwrap_or_else(|error| panic!("{picture}: {error}"));
    }
}

#[test]
fn the_share_of_nines_is_as_asked_for_and_who_has_no_clean_set_trains_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    smallest("mnist_imbalance", &out, &["--majority", "0.98", "--methods", "baseline,l2rw"]);
    let results = results(&out);
    // 5,000 images, of which five of each class are trusted.
    assert_eq!(results["config"]["train_images"], 4990);
    assert_eq!(results["config"]["test_images"], 500);
    let steps = |method: usize| results["methods"][method]["steps"].as_u64().unwrap();
    assert_eq!((steps(0), steps(1)), (2, 1));
}

#[test]
fn the_same_seed_twice_gives_the_same_results_apart_from_times() {
    let folder = tempfile::tempdir().unwrap();
    let results = |name: &str| -> serde_json::Value {
        let out = folder.path().join(name);
        let small = ["--preset", "quick", "--steps", "12", "--images-per-class", "40"];
        let rest = ["--model", "resnet8-w4", "--batch", "20", "--clean-batch", "20", "--out"];
        let output = run(&[&small[..], &rest, &[out.to_str().unwrap()]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        for file in ["curves.png", "weights.png", "confusion.png", "suspects.png"] {
            image::open(out.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        assert!(out.join("l2rw.safetensors").exists());
        let text = std::fs::read_to_string(out.join("results.json")).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for method in value["methods"].as_array_mut().unwrap() {
            let seconds = method.as_object_mut().unwrap().remove("seconds_per_step").unwrap();
            assert!(seconds.as_f64().unwrap() > 0.0);
        }
        value
    };
    let first = results("first");
    for field in ["noise_auc", "corrupted_weight_share", "corrupted_share", "zero_weight_steps"] {
        assert!(first["methods"][1][field].is_number(), "{field} in {first}");
    }
    assert_eq!(first, results("second"));
}
