//! JSON, files, tables and progress.

use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use l2rw::report::{
    CurvePoint, MethodResult, PublishedDataset, ReportError, Results, ReweightingResult, Setting,
    StepProgress, StepView, published, results, table,
};

fn method(name: &str, reweighting: Option<ReweightingResult>) -> MethodResult {
    MethodResult {
        name: name.into(),
        test_accuracy: 0.1 + 0.2, // 0.30000000000000004 needs all its digits
        seconds_per_step: 0.0123,
        steps: 600,
        skipped_steps: if reweighting.is_some() { 3 } else { 0 },
        interrupted: reweighting.is_some(),
        confusion: vec![vec![3, 1], vec![0, 4]],
        curve: vec![CurvePoint {
            step: 10,
            train_loss: 2.5,
            train_accuracy: 0.25,
            clean_accuracy: f64::NAN,
            test_accuracy: Some(0.5),
            corrupted_weight_share: None,
        }],
        reweighting,
    }
}

fn example() -> Results {
    let reweighting = ReweightingResult {
        noise_auc: 0.8125,
        corrupted_weight_share: 0.0912,
        corrupted_share: 0.3634,
        zero_weight_steps: 12,
    };
    Results {
        adapter: "Some GPU".into(),
        driver: "1.2".into(),
        backend: "Vulkan".into(),
        version: "0.1.0".into(),
        config: serde_json::json!({"seed": 1, "batch": 100}),
        methods: vec![method("baseline", None), method("l2rw", Some(reweighting))],
    }
}

const JSON: &str = concat!(
    r#"{
  "adapter": "Some GPU",
  "driver": "1.2",
  "backend": "Vulkan",
  "version": "0.1.0",
  "config": {
    "batch": 100,
    "seed": 1
  },
  "methods": [
    {
      "name": "baseline",
      "test_accuracy": 0.30000000000000004,
      "seconds_per_step": 0.0123,
      "steps": 600,
      "skipped_steps": 0,
      "interrupted": false,
      "confusion": [
        [3, 1],
        [0, 4]
      ],
      "curve": [
        {"step": 10, "train_loss": 2.5, "train_accuracy": 0.25, "clean_accuracy": null, "#,
    r#""test_accuracy": 0.5, "corrupted_weight_share": null}
      ]
    },
"#
);

#[test]
fn json_has_stable_keys_full_floats_null_for_nan_and_a_line_a_row() {
    let json = results::to_json(&example()).unwrap();
    assert!(json.starts_with(JSON), "{json}");
    assert_eq!(json, results::to_json(&example().clone()).unwrap());
}

#[test]
fn results_read_back_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = results::write(&example(), dir.path()).unwrap();
    let again = results::read(&path).unwrap();
    assert_eq!(again.methods[1].reweighting, example().methods[1].reweighting);
    assert_eq!(again.methods[0].reweighting, None);
    assert!(again.methods[0].curve[0].clean_accuracy.is_nan());
    assert_eq!(results::to_json(&again).unwrap(), results::to_json(&example()).unwrap());
}

#[test]
fn reading_something_else_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.json");
    fs::write(&path, "{}").unwrap();
    let error = results::read(&path).unwrap_err();
    assert!(matches!(error, ReportError::Parse { .. }));
    assert!(error.to_string().contains("other.json"), "{error}");
}

const TABLE: &str = "\
method    test accuracy       published  s/step  weight on corrupted (share)  \
          noise AUROC  zero-weight steps
────────  ─────────────  ──────────────  ──────  ───────────────────────────  \
          ───────────  ─────────────────
baseline        30.00 %  59.54 ± 2.16 %  0.0123                            –            \
          –                  –
l2rw*           30.00 %  86.73 ± 0.48 %  0.0123             9.12 % (36.34 %)        \
          0.812                 12

* l2rw was interrupted after 600 steps.
3 steps of l2rw were left out: a number in them was not finite.
Weight on corrupted: share of all example weight; in brackets what uniform weights would give.
Published: Ren et al. 2018, Table 2, BackgroundFlip 40 %, ResNet-32, 80,000 steps on CIFAR,
mean and 95 % interval of 5 splits: only the paper preset compares with them.
";

#[test]
fn the_table_stands_beside_the_published_one() {
    let setting = Some((Setting::BackgroundFlip, PublishedDataset::Cifar10));
    assert_eq!(table::render(&example(), setting), TABLE);
}

#[test]
fn long_tails_stand_beside_the_figures_of_their_factor() {
    let figure = |factor, dataset, method| {
        published(Setting::LongTail { factor }, dataset, method).map(|figure| figure.mean)
    };
    assert_eq!(figure(200, PublishedDataset::Cifar10, "baseline"), Some(65.68));
    assert_eq!(figure(10, PublishedDataset::Cifar100, "mwn-normalised"), Some(58.46));
    assert_eq!(figure(100, PublishedDataset::Cifar10, "class-balanced-focal"), Some(74.57));
    assert_eq!(figure(30, PublishedDataset::Cifar10, "l2rw"), None);
    assert_eq!(figure(100, PublishedDataset::Cifar10, "random"), None);
}

#[test]
fn without_a_published_setting_the_table_claims_no_comparison() {
    let text = table::render(&example(), None);
    assert!(!text.to_lowercase().contains("published"), "{text}");
    assert!(text.contains("l2rw*"), "{text}");
}

#[test]
fn a_table_without_wrong_labels_is_silent_about_them() {
    let mut results = example();
    if let Some(reweighting) = &mut results.methods[1].reweighting {
        reweighting.corrupted_share = 0.0;
    }
    let text = table::render(&results, None);
    for absent in ["corrupted", "AUROC"] {
        assert!(!text.contains(absent), "{text}");
    }
    let row = text.lines().find(|line| line.starts_with("l2rw*")).unwrap();
    assert!(row.ends_with("12"), "{text}");
}

#[test]
fn a_table_shows_a_dash_for_what_is_not_a_number() {
    let mut results = example();
    results.methods[0].test_accuracy = f64::NAN;
    results.methods[0].seconds_per_step = f64::INFINITY;
    let text = table::render(&results, None);
    let row = text.lines().find(|line| line.starts_with("baseline")).unwrap();
    assert_eq!(row.matches('–').count(), 5, "{row}");
}

#[test]
fn published_figures_are_found_under_any_spelling() {
    let figure = |setting, dataset, name| published(setting, dataset, name).map(|p| p.mean);
    use PublishedDataset::{Cifar10, Cifar100};
    use Setting::{BackgroundFlip, UniformFlip};
    assert_eq!(figure(BackgroundFlip, Cifar10, "S-Model+Conf+ES"), Some(79.24));
    assert_eq!(figure(BackgroundFlip, Cifar10, "s_model_conf_es"), Some(79.24));
    assert_eq!(figure(BackgroundFlip, Cifar100, "Ours"), Some(59.30));
    assert_eq!(figure(UniformFlip, Cifar10, "l2rw"), Some(86.92));
    assert_eq!(figure(UniformFlip, Cifar10, "weighted"), None);
    let quoted = published(UniformFlip, Cifar100, "mentornet").unwrap();
    assert_eq!((quoted.mean, quoted.interval), (56.9, None));
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn progress_in_a_log_shows_the_first_and_the_last_step_and_is_quiet_between() {
    let log = Log::default();
    let mut progress = StepProgress::to_writer("l2rw", 500, log.clone());
    for step in 1..=500 {
        progress.update(
            step,
            &StepView {
                loss: 1.5,
                train_accuracy: 0.5,
                clean_accuracy: f64::NAN,
                steps_per_second: 20.0,
                corrupted_weight_share: Some(step as f64 / 1000.0),
            },
        );
    }
    progress.finish();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let tail = "loss 1.500 · train 50.0 % · weight on corrupted";
    assert_eq!(lines[0], format!("l2rw: step 1 of 500 · {tail} 0.1 % · 20.0 steps/s"));
    assert_eq!(lines[1], format!("l2rw: step 500 of 500 · {tail} 50.0 % · 20.0 steps/s"));
    assert!(lines[2].starts_with("l2rw: 500 of 500 steps in"), "{text}");
    assert_eq!(lines.len(), 3, "{text}");
}
