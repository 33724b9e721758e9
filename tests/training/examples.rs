//! Data of any kind: features and images as floats equal bytes, are standardised, and are checked.

use crate::common::device::context;
use crate::common::steps::run;
use crate::common::values;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Network, Padding, Shape, zoo};
use l2rw::train::{Contents, Examples, StepReport, Trainer, TrainerOptions};
use l2rw::weighting::{Setup, Weighting, by_name};

const IMAGE: Shape = Shape { height: 5, width: 7, channels: 3 };

fn image_network() -> Network {
    let mut b = Network::builder("images", IMAGE);
    let mut x = b.input();
    x = b.conv("conv", x, 8, 3, 2, Padding::Same, true);
    x = b.relu("relu", x);
    b.linear("fc", x, 3);
    b.build().unwrap()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((values::uniform(3, i as u32) + 1.0) * 127.9) as u8).collect()
}

fn labels(len: usize) -> Vec<u32> {
    (0..len as u32).map(|i| i * i % 7 % 3).collect()
}

fn options(weighting: impl Into<Weighting>) -> TrainerOptions {
    TrainerOptions { batch: 6, clean_batch: 4, crop_pad: 2, ..TrainerOptions::cifar(weighting) }
}

fn steps(set: Examples<'_>, options: &TrainerOptions) -> (Vec<StepReport>, Vec<f32>) {
    let context = context(ShaderChecks::Trusted);
    let network = image_network();
    let mut trainer = Trainer::new(context, &network, set, Some(set), options).unwrap();
    let reports = run(&mut trainer, 6);
    (reports, trainer.evaluation(set, 4).unwrap().scores().unwrap().losses)
}

fn assert_near(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < tolerance, "{what}: {found:?}, expected {expected:?}");
}

#[test]
fn images_as_floats_train_as_the_bytes_that_they_equal() {
    let (bytes, labels) = (bytes(20 * IMAGE.len()), labels(20));
    let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    // One method draws by itself, one mixes pairs of neighbours.
    for name in ["l2rw", "resample", "smote"] {
        let options = options(by_name(name, &Setup::default()).unwrap());
        let (expected, expected_losses) = steps(Examples::new(&bytes, &labels, IMAGE), &options);
        let (found, losses) = steps(Examples::new(&floats, &labels, IMAGE), &options);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.indices, expected.indices, "{name}");
            assert_eq!(found.clean_indices, expected.clean_indices, "{name}");
            // The host's division is not the device's, which may round otherwise.
            assert_near(name, &found.losses, &expected.losses, 1e-4);
            assert_near(name, &found.weights, &expected.weights, 1e-4);
        }
        assert_near(name, &losses, &expected_losses, 1e-4);
    }
}

#[test]
fn batches_of_floats_from_the_host_are_normalised_as_data_sets_are() {
    let (n, network) = (6, image_network());
    let floats: Vec<f32> =
        bytes(n * IMAGE.len()).iter().map(|byte| f32::from(*byte) * 3.0 - 100.0).collect();
    let labels = labels(n);
    let set = Examples::new(&floats, &labels, IMAGE);
    let options = TrainerOptions {
        clean_batch: n,
        crop_pad: 0,
        flip: false,
        ..options(by_name("l2rw", &Setup::default()).unwrap())
    };
    let options = options.standardised_by(set);
    let context = context(ShaderChecks::Trusted);
    let mut trainer = Trainer::for_batches(context, &network, &options).unwrap();
    trainer.step_on(set, Some(set)).unwrap();
    let report = trainer.take_report(true).unwrap().unwrap();
    // The same examples, drawn in another order.
    let mut drawn = Trainer::new(context, &network, set, Some(set), &options).unwrap();
    let expected = run(&mut drawn, 1).remove(0);
    for (slot, index) in expected.indices.iter().enumerate() {
        let found = report.losses[*index as usize];
        assert_near("losses", &[found], &[expected.losses[slot]], 1e-5);
    }
    // Bytes and floats take turns.
    let bytes = bytes(n * IMAGE.len());
    trainer.step_on(Examples::new(&bytes, &labels, IMAGE), Some(set)).unwrap();
    assert!(trainer.take_report(true).unwrap().unwrap().losses.iter().all(|f| f.is_finite()));
}

/// Two features of very different sizes, of which the small one tells the class.
fn features(len: usize) -> (Vec<f32>, Vec<u32>) {
    let labels: Vec<u32> = (0..len as u32).map(|i| i % 2).collect();
    let row = |(i, label): (usize, &u32)| {
        let noise = |k: u32| values::uniform(k, i as u32) as f32;
        let tells = 0.01 * (*label as f32 - 0.5 + 0.2 * noise(1));
        [1e5 + 3e4 * noise(2), tells, 7.0]
    };
    (labels.iter().enumerate().flat_map(row).collect(), labels)
}

#[test]
fn features_of_other_scales_are_learned_once_they_are_standardised() {
    let (rows, labels) = features(200);
    let shape = Shape::new(1, 1, 3);
    let set = Examples::new(&rows, &labels, shape);
    let network = zoo::mlp(shape, &[16], 2).unwrap();
    let options = TrainerOptions { batch: 20, clean_batch: 20, ..TrainerOptions::features(3) };
    let options = options.standardised_by(set);
    let context = context(ShaderChecks::Trusted);
    let mut trainer = Trainer::new(context, &network, set, Some(set), &options).unwrap();
    run(&mut trainer, 200);
    let (predictions, _) = trainer.evaluation(set, 64).unwrap().run().unwrap();
    let right = predictions.iter().zip(&labels).filter(|(a, b)| a == b).count();
    assert!(right > 190, "{right} of 200");
}

#[test]
fn a_value_that_is_not_finite_is_refused_by_its_example() {
    let (mut rows, labels) = features(20);
    let shape = Shape::new(1, 1, 3);
    let network = zoo::mlp(shape, &[4], 2).unwrap();
    let options = TrainerOptions { batch: 5, clean_batch: 5, ..TrainerOptions::features(3) };
    let context = context(ShaderChecks::Trusted);
    let good = rows.clone();
    let good = Examples::new(&good, &labels, shape);
    rows[3 * 11 + 1] = f32::NAN;
    let bad = Examples::new(&rows, &labels, shape);
    let trainer = Trainer::new(context, &network, good, Some(good), &options).unwrap();
    let messages = [
        Trainer::new(context, &network, bad, Some(good), &options).unwrap_err(),
        Trainer::new(context, &network, good, Some(bad), &options).unwrap_err(),
        trainer.evaluation(bad, 5).unwrap_err(),
    ]
    .map(|error| error.to_string());
    for (message, which) in messages.iter().zip(["training", "clean", "evaluation"]) {
        assert!(message.contains(which) && message.contains("example 11"), "{message}");
        assert!(message.contains("value 1") && message.contains("NaN"), "{message}");
    }
}

#[test]
fn an_example_that_is_ignored_counts_in_no_part_of_a_step_and_is_reported() {
    let (n, network) = (6, image_network());
    let (bytes, classes) = (bytes(n * IMAGE.len()), labels(n));
    let options = TrainerOptions {
        clean_batch: n,
        crop_pad: 0,
        flip: false,
        ..options(by_name("l2rw", &Setup::default()).unwrap())
    };
    let shown = |pixels: &[u8], label: u32| {
        let mut labels = classes.clone();
        labels[2] = label;
        let context = context(ShaderChecks::Trusted);
        let mut trainer = Trainer::for_batches(context, &network, &options).unwrap();
        let clean = Examples::new(&bytes, &classes, IMAGE);
        trainer.step_on(Examples::new(pixels, &labels, IMAGE), Some(clean)).unwrap();
        let report = trainer.take_report(true).unwrap().unwrap();
        (report, trainer.model().to_safetensors(Contents::Parameters).unwrap())
    };
    let (mut other, place) = (bytes.clone(), 2 * IMAGE.len());
    other[place..place + IMAGE.len()].fill(200);
    let ignored = [&bytes, &other].map(|pixels| shown(pixels, Examples::IGNORED));
    let report = &ignored[0].0;
    assert_eq!((&report.ignored[..], &report.clean_ignored[..]), (&[2][..], &[][..]));
    assert_eq!([report.losses[2], report.weights[2], report.similarities[2]], [0.0; 3]);
    let sum: f64 = report.losses.iter().map(|loss| f64::from(*loss)).sum();
    assert!((report.loss() - sum / 5.0).abs() < 1e-9);
    assert!(ignored[0].1 == ignored[1].1, "the parameters follow an example that is ignored");
    let counted = shown(&bytes, classes[2]);
    assert!(counted.0.ignored.is_empty() && counted.0.losses[2] > 0.0);
    assert_eq!(counted.0.similarities[3], report.similarities[3]);
}
