//! Parameters from other programs' files: their types, their names, and what does not fit.

use crate::common::device::context;
use crate::common::values;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Normalisation, Shape, zoo};
use l2rw::train::{Contents, LastLayer, Trainer, TrainerOptions};
use l2rw::weighting::Uniform;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

const NETWORK: &str = "resnet8-w4";

fn trainer(classes: usize) -> Trainer {
    let shape = Shape::new(8, 8, 3);
    let network = zoo::by_name(NETWORK, shape, classes, Normalisation::batch()).unwrap();
    let options = TrainerOptions { weighting: Uniform.into(), ..TrainerOptions::plain(3) };
    Trainer::for_batches(context(ShaderChecks::Trusted), &network, &options).unwrap()
}

/// A tensor of a file: name, type, shape, content.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

fn write(tensors: &[Stored]) -> Vec<u8> {
    let view = |(name, dtype, shape, bytes): &'static Stored| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    };
    let tensors: &'static [Stored] = Vec::leak(tensors.to_vec());
    safetensors::serialize(tensors.iter().map(view), None).unwrap()
}

/// The state dict of a network of `classes`, filled with numbers k/256 that every type of floats
/// holds exactly. A file of these alone has no header of the crate's.
fn state_dict(classes: usize) -> Vec<Stored> {
    let own = trainer(classes).model().to_safetensors(Contents::Parameters).unwrap();
    let file = SafeTensors::deserialize(&own).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    let stored = names.into_iter().zip(1..).map(|(name, tag)| {
        let shape = file.tensor(name).unwrap().shape().to_vec();
        let drawn = values::values(tag, shape.iter().product());
        let coarse = drawn.iter().map(|v| (v * 255.0).round() as f32 / 256.0);
        let bytes = coarse.flat_map(f32::to_le_bytes).collect();
        (name.to_owned(), Dtype::F32, shape, bytes)
    });
    stored.collect()
}

/// The sixteen bits of k/256, |k| < 256.
fn half(value: f32) -> u16 {
    if value == 0.0 {
        return u16::from(value.is_sign_negative()) << 15;
    }
    let (exponent, sign) = (value.abs().log2().floor(), u16::from(value < 0.0) << 15);
    let fraction = (value.abs() / exponent.exp2() - 1.0) * 1024.0;
    sign | ((exponent as i32 + 15) as u16) << 10 | fraction as u16
}

fn converted(stored: &[Stored], dtype: Dtype) -> Vec<Stored> {
    let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let convert = |value: f32| match dtype {
        Dtype::F16 => half(value).to_le_bytes().to_vec(),
        Dtype::BF16 => value.to_le_bytes()[2..].to_vec(),
        Dtype::F64 => f64::from(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    };
    let stored = stored.iter().map(|(name, _, shape, bytes)| {
        let bytes = bytes.chunks(4).flat_map(|bytes| convert(number(bytes))).collect();
        (name.clone(), dtype, shape.clone(), bytes)
    });
    stored.collect()
}

/// The tensors that a trainer has now, by name.
fn held(trainer: &Trainer) -> Vec<Stored> {
    let own = trainer.model().to_safetensors(Contents::Parameters).unwrap();
    let file = SafeTensors::deserialize(&own).unwrap();
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let stored = tensors
        .into_iter()
        .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    stored.collect()
}

#[test]
fn floats_of_sixteen_and_sixty_four_bits_are_converted() {
    let expected = state_dict(4);
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F64] {
        let mut trainer = trainer(4);
        let file = write(&converted(&expected, dtype));
        let loaded = trainer.model_mut().load_parameters(&file, LastLayer::Load).unwrap();
        let converted = if dtype == Dtype::F32 { 0 } else { expected.len() };
        assert_eq!((loaded.taken, loaded.converted.len()), (expected.len(), converted));
        assert!(held(&trainer) == expected, "{dtype:?}");
    }
}

#[test]
fn the_prefix_of_data_parallel_is_taken_off_where_every_name_has_it() {
    let expected = state_dict(4);
    let mut wrapped = expected.clone();
    wrapped.iter_mut().for_each(|tensor| tensor.0.insert_str(0, "module."));
    let counter = |name: &str| (name.to_owned(), Dtype::I64, vec![], vec![0; 8]);
    wrapped.push(counter("module.norm.num_batches_tracked"));
    let mut trainer = trainer(4);
    let loaded = trainer.model_mut().load_parameters(&write(&wrapped), LastLayer::Load).unwrap();
    assert_eq!(loaded.taken, expected.len());
    assert!(held(&trainer) == expected);

    wrapped[0].0 = expected[0].0.clone();
    let error = trainer.model_mut().load_parameters(&write(&wrapped), LastLayer::Load);
    let message = error.unwrap_err().to_string();
    assert!(message.contains("module.norm.weight"), "{message}");
}

#[test]
fn a_refusal_names_everything_that_does_not_fit_the_first_ten_of_each_kind() {
    let mut stored = state_dict(4);
    let removed: Vec<Stored> = stored.drain(..12).collect();
    assert!(["fc.bias", "fc.weight"].iter().all(|last| removed.iter().any(|t| t.0 == *last)));
    for number in 0..3 {
        let name = format!("classifier.{number}.weight");
        stored.push((name, Dtype::F32, vec![2], vec![0; 8]));
    }
    let at = |stored: &[Stored], name: &str| stored.iter().position(|t| t.0 == name).unwrap();
    let shifted = at(&stored, "stem.weight");
    stored[shifted].2.reverse();
    let integers = at(&stored, "stage3.block1.norm2.bias");
    stored[integers].1 = Dtype::I32;
    let huge = at(&stored, "stage3.block1.norm1.bias");
    stored[huge] = {
        let (name, _, shape, _) = stored[huge].clone();
        let numbers = vec![1e300_f64; shape[0]];
        (name, Dtype::F64, shape, numbers.into_iter().flat_map(f64::to_le_bytes).collect())
    };
    let mut trainer = trainer(4);
    let before = held(&trainer);
    let error = trainer.model_mut().load_parameters(&write(&stored), LastLayer::Load);
    let message = error.unwrap_err().to_string();
    for part in [
        "12 missing in the file: stage1.block1.norm1.weight, stage1.block1.norm1.bias",
        "and 2 more",
        "3 with no place in the network: classifier.0.weight, classifier.1.weight",
        "3 of another form",
        "stem.weight is [3, 3, 3, 4] in the file and [4, 3, 3, 3] in the network",
        "stage3.block1.norm2.bias is I32, expected F32, F64, F16 or BF16",
        "stage3.block1.norm1.bias holds 1e300, which is beyond f32",
    ] {
        assert!(message.contains(part), "'{part}' in: {message}");
    }
    assert!(!message.contains("fc."), "the last two are the 2 more: {message}");
    assert!(held(&trainer) == before, "nothing has changed");
}

#[test]
fn a_last_layer_for_other_classes_stays_on_request_and_is_named() {
    let stored = state_dict(7);
    let file = write(&stored);
    let mut trainer = trainer(4);
    let before = held(&trainer);
    let error = trainer.model_mut().load_parameters(&file, LastLayer::Load);
    let message = error.unwrap_err().to_string();
    assert!(message.contains("2 of another form: fc.weight is [7, 16] in the file"), "{message}");
    assert!(message.contains("LastLayer::LoadOrKeep"), "{message}");
    assert!(held(&trainer) == before, "nothing has changed");

    let loaded = trainer.model_mut().load_parameters(&file, LastLayer::LoadOrKeep).unwrap();
    assert_eq!(loaded.taken, stored.len() - 2);
    let text = loaded.to_string();
    for part in ["fc.weight is [7, 16] in the file and [4, 16] in the network", "fc.bias is [7]"] {
        assert!(text.contains(part), "{text}");
    }
    for ((found, before), stored) in held(&trainer).into_iter().zip(&before).zip(stored) {
        let is_last = stored.0.starts_with("fc.");
        assert!(found == if is_last { before.clone() } else { stored }, "{}", found.0);
    }
}

#[test]
fn a_last_layer_that_fits_is_loaded_on_request_too_and_the_rest_must_fit() {
    let mut stored = state_dict(4);
    let mut trainer = trainer(4);
    let model = trainer.model_mut();
    let loaded = model.load_parameters(&write(&stored), LastLayer::LoadOrKeep).unwrap();
    assert_eq!((loaded.taken, loaded.kept.len()), (stored.len(), 0));
    stored.retain(|tensor| tensor.0 != "norm.bias" && tensor.0 != "fc.bias");
    let error = model.load_parameters(&write(&stored), LastLayer::LoadOrKeep).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("1 missing in the file: norm.bias"), "{message}");
}
