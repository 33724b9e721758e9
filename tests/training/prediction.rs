//! Prediction without a trainer: the bits of an evaluation, little memory, damaged files refused.

use serde::{Deserialize, Serialize};

use crate::common::device::context;
use crate::common::steps::run;
use crate::common::values;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Network, Normalisation, Padding, Shape, zoo};
use l2rw::train::{
    Contents, Examples, HostState, Predictor, SavedModel, TrainError, Trainer, TrainerOptions,
    Values,
};
use l2rw::weighting::L2rw;

const SHAPE: Shape = Shape { height: 9, width: 7, channels: 3 };
const EXAMPLES: usize = 21;

/// BatchNorm's running statistics, and channels that are not stored as they are counted.
fn network(width: usize) -> Network {
    let mut b = Network::builder("predicted", SHAPE);
    let mut x = b.input();
    x = b.conv("conv1", x, width, 3, 1, Padding::Same, false);
    x = b.norm("norm1", x, Normalisation::batch());
    x = b.relu("relu1", x);
    x = b.conv("conv2", x, 8, 3, 2, Padding::Same, false);
    x = b.norm("norm2", x, Normalisation::batch());
    x = b.relu("relu2", x);
    b.linear("fc", x, 5);
    b.build().unwrap()
}

fn bytes() -> Vec<u8> {
    let values = (0..EXAMPLES * SHAPE.len()).map(|i| values::uniform(7, i as u32));
    values.map(|value| ((value + 1.0) * 127.9) as u8).collect()
}

fn labels() -> Vec<u32> {
    (0..EXAMPLES as u32).map(|i| i * 3 % 5).collect()
}

fn options(batch: usize) -> TrainerOptions {
    let options = TrainerOptions::cifar(L2rw::default());
    let mean = vec![0.25, 0.1, 0.3];
    TrainerOptions { batch, clean_batch: batch, mean, ..options }
}

fn trained(network: &Network, set: Examples<'_>, batch: usize) -> Trainer {
    let context = context(ShaderChecks::Trusted);
    let mut trainer = Trainer::new(context, network, set, Some(set), &options(batch)).unwrap();
    run(&mut trainer, 5);
    trainer
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Description {
    network: String,
    class_names: Vec<String>,
}

#[test]
fn predictions_from_a_file_have_the_bits_of_the_evaluation_in_training() {
    let (bytes, labels) = (bytes(), labels());
    let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 128.0).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let context = context(ShaderChecks::Trusted);
    for width in [8, 6] {
        let network = network(width);
        for values in [Values::from(&bytes), Values::from(&floats)] {
            let set = Examples::new(values, &labels, SHAPE);
            let trainer = trained(&network, set, 6);
            // Batches that divide the set, that leave a part of one, and more than there is.
            for batch in [7, 4, 50] {
                let expected = trainer.evaluation(set, batch).unwrap().scores().unwrap();
                let description =
                    Description { network: "own".into(), class_names: vec!["a".into(); 5] };
                let host = HostState::new(&description).unwrap();
                trainer.model().save_parameters(&path, &host).unwrap();
                let saved = SavedModel::read(&path).unwrap();
                assert_eq!(saved.host().json::<Description>().unwrap(), description);
                let mut predictor = Predictor::new(context, &network, &saved).unwrap();
                for _ in 0..2 {
                    let predictions = predictor.predict(values, batch).unwrap();
                    assert_eq!(predictions.classes, expected.predictions);
                    assert_eq!(predictions.scores, expected.scores);
                }
                let scores = predictor.evaluation(set, batch).unwrap().scores().unwrap();
                assert_eq!(scores, expected);
                // A whole checkpoint serves as well, and so does the model itself.
                let checkpoint = trainer.model().to_safetensors(Contents::Checkpoint).unwrap();
                let saved = SavedModel::from_bytes(checkpoint).unwrap();
                let mut other = Predictor::new(context, &network, &saved).unwrap();
                assert_eq!(other.predict(values, batch).unwrap().scores, expected.scores);
                let mut own = trainer.model().predictor();
                assert_eq!(own.predict(values, batch).unwrap().scores, expected.scores);
            }
        }
    }
}

#[test]
fn a_models_own_predictor_follows_its_steps() {
    let (bytes, labels, network) = (bytes(), labels(), network(8));
    let set = Examples::new(&bytes, &labels, SHAPE);
    let mut trainer = trained(&network, set, 6);
    let mut predictor = trainer.model().predictor();
    let before = predictor.predict(&bytes, 8).unwrap();
    run(&mut trainer, 3);
    let after = predictor.predict(&bytes, 8).unwrap();
    assert_ne!(before.scores, after.scores);
    assert_eq!(after.scores, trainer.evaluation(set, 8).unwrap().scores().unwrap().scores);
}

#[test]
fn batches_of_both_kinds_and_several_sizes_may_take_turns() {
    let (bytes, labels, network) = (bytes(), labels(), network(8));
    let trainer = trained(&network, Examples::new(&bytes, &labels, SHAPE), 6);
    let mut predictor = trainer.model().predictor();
    let expected = predictor.predict(&bytes, 8).unwrap();
    let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) / 255.0).collect();
    let found = predictor.predict(&floats, 8).unwrap();
    // The host's division is not the device's, which may round otherwise.
    let apart = found.scores.iter().zip(&expected.scores).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) < 1e-3);
    // One example, then the first two.
    let one = predictor.predict(&bytes[..SHAPE.len()], 1).unwrap();
    assert_eq!((one.classes.len(), one.scores.len()), (1, 5));
    assert_eq!(predictor.predict(&bytes, 8).unwrap(), expected);
    assert!(predictor.predict(&bytes[..0], 8).unwrap().classes.is_empty());
}

#[test]
fn prediction_takes_a_small_part_of_what_training_takes() {
    let shape = Shape::new(32, 32, 3);
    let network = zoo::ResNet::cifar(20, Normalisation::batch()).unwrap();
    let network = network.build("resnet20", shape, 10).unwrap();
    let (images, labels) = (vec![9_u8; 100 * shape.len()], vec![0; 100]);
    let set = Examples::new(&images, &labels, shape);
    let context = context(ShaderChecks::Trusted);
    let trainer = Trainer::new(context, &network, set, Some(set), &options(50)).unwrap();
    let bytes = trainer.model().to_safetensors(Contents::Parameters).unwrap();
    let saved = SavedModel::from_bytes(bytes).unwrap();
    let mut predictor = Predictor::new(context, &network, &saved).unwrap();
    let parameters = 4 * (network.parameters_len + network.running_len) as u64;
    let resting = predictor.memory_bytes();
    assert!((parameters..parameters + 1000).contains(&resting), "{resting}, {parameters}");
    predictor.predict(&images, 50).unwrap();
    let (used, training) = (predictor.memory_bytes(), trainer.memory_bytes());
    assert!(resting < used && 4 * used < training, "{used} of {training} bytes");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let (bytes, labels, network) = (bytes(), labels(), network(8));
    let trainer = trained(&network, Examples::new(&bytes, &labels, SHAPE), 6);
    let context = context(ShaderChecks::Trusted);
    let file = trainer.model().to_safetensors(Contents::Parameters).unwrap();
    let saved = SavedModel::from_bytes(file.clone()).unwrap();
    // Another network.
    let other = self::network(12);
    let message = Predictor::new(context, &other, &saved).unwrap_err().to_string();
    assert!(message.contains("conv1.weight"), "{message}");
    // Another normalisation than of three channels, and none at all.
    let grey = saved.clone().with_normalisation(vec![0.0], vec![1.0]);
    let error = Predictor::new(context, &network, &grey).unwrap_err();
    assert!(matches!(error, TrainError::Option { option: "mean", .. }), "{error}");
    let mut damaged = file;
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    let message = SavedModel::from_bytes(damaged).unwrap_err().to_string();
    assert!(message.contains("damaged"), "{message}");
    // A part of an example, a batch of none, a number that is none.
    let mut predictor = Predictor::new(context, &network, &saved).unwrap();
    let message = predictor.predict(&bytes[1..], 4).unwrap_err().to_string();
    assert!(message.contains("9×7×3") || message.contains("9x7x3"), "{message}");
    assert!(predictor.predict(&bytes, 0).is_err());
    let mut floats = vec![0.0_f32; 2 * SHAPE.len()];
    floats[SHAPE.len() + 5] = f32::INFINITY;
    let message = predictor.predict(&floats, 4).unwrap_err().to_string();
    assert!(message.contains("example 1") && message.contains("inf"), "{message}");
}
