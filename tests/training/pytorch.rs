//! Parameters in PyTorch's names and layouts: the same logits on both sides.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::device::context;
use crate::common::values;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::ops::Optimizer;
use l2rw::train::{Contents, Examples, Trainer, TrainerOptions};
use l2rw::weighting::Uniform;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

const EXAMPLES: usize = 5;

/// An entry of `tests/goldens/pytorch_zoo.json`.
#[derive(Deserialize)]
struct Golden {
    channels: usize,
    side: usize,
    /// Whether it takes too long for every run of the tests.
    soak: bool,
    /// Names and shapes of the state dict, in its order.
    tensors: Vec<(String, Vec<usize>)>,
    logits: Vec<Vec<f64>>,
}

fn goldens(soak: bool) -> BTreeMap<String, Golden> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/pytorch_zoo.json");
    let mut all: BTreeMap<String, Golden> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    all.retain(|_, golden| golden.soak == soak);
    all
}

/// `fill` of `tests/goldens/pytorch_zoo.py`.
fn fill(number: usize, name: &str, shape: &[usize]) -> Vec<f32> {
    let len = shape.iter().product::<usize>();
    let fan_in: usize = shape[1..].iter().product();
    let factor = (3.0 / fan_in as f64).sqrt() as f32;
    let values = (0..len as u32).map(|i| values::uniform(number as u32, i) as f32);
    let scaled = |value: f32| match name.rsplit('.').next() {
        Some("running_var") => 1.0 + 0.5 * value,
        Some("weight") if shape.len() > 1 => value * factor,
        Some("weight") => 1.0 + 0.25 * value,
        _ => value * 0.1,
    };
    values.map(scaled).collect()
}

/// The state dict as PyTorch would save it, counters of BatchNorm included.
fn state_dict(golden: &Golden) -> Vec<u8> {
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (number, (name, shape)) in golden.tensors.iter().enumerate() {
        let bytes = bytemuck::cast_slice(&fill(number, name, shape)).to_vec();
        if let Some(layer) = name.strip_suffix(".running_var") {
            let name = format!("{layer}.num_batches_tracked");
            tensors.push((name, Dtype::I64, vec![], vec![0; 8]));
        }
        tensors.push((name.clone(), Dtype::F32, shape.clone(), bytes));
    }
    let view = |(name, dtype, shape, bytes): &'static (String, Dtype, Vec<usize>, Vec<u8>)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    };
    let tensors: &'static Vec<_> = Box::leak(Box::new(tensors));
    safetensors::serialize(tensors.iter().map(view), None).unwrap()
}

fn network(name: &str, golden: &Golden) -> Network {
    let shape = Shape::new(golden.side, golden.side, golden.channels);
    zoo::by_name(name, shape, 10, Normalisation::batch()).unwrap()
}

fn trainer(network: &Network, seed: u32, optimizer: Optimizer) -> Trainer {
    let shape = network.input();
    let options = TrainerOptions {
        batch: EXAMPLES,
        clean_batch: 3,
        weighting: Uniform.into(),
        optimizer,
        seed,
        ..TrainerOptions::plain(shape.channels)
    };
    Trainer::for_batches(context(ShaderChecks::Trusted), network, &options).unwrap()
}

fn images(shape: Shape, examples: usize) -> Vec<u8> {
    // The upper eight bits of the hash: `uniform` keeps the upper 24.
    let byte = |i| ((values::uniform(9000, i) + 1.0) * 128.0).floor() as u8;
    (0..(examples * shape.len()) as u32).map(byte).collect()
}

fn logits(trainer: &Trainer, examples: usize) -> Vec<f32> {
    let shape = trainer.network().input();
    let images = images(shape, examples);
    let labels = vec![0; examples];
    let set = Examples::new(&images, &labels, shape);
    trainer.evaluation(set, 2).unwrap().scores().unwrap().scores
}

fn assert_pytorchs_logits(goldens: BTreeMap<String, Golden>) {
    for (name, golden) in goldens {
        let network = network(&name, &golden);
        let mut trainer = trainer(&network, 1, Optimizer::PLAIN);
        let model = trainer.model_mut();
        model.load_safetensors(&state_dict(&golden), Contents::Parameters).unwrap();
        let expected: Vec<f64> = golden.logits.concat();
        let found = logits(&trainer, golden.logits.len());
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{name}: {found}, {expected}");
        }
        assert!(expected.iter().any(|logit| logit.abs() > 0.1), "{name}");
    }
}

#[test]
fn state_dicts_of_pytorch_give_pytorchs_logits() {
    assert_pytorchs_logits(goldens(false));
}

#[test]
#[ignore = "large networks: make soak"]
fn state_dicts_of_large_networks_give_pytorchs_logits() {
    assert_pytorchs_logits(goldens(true));
}

/// Also leaves the files and the crate's logits for `tests/goldens/pytorch_zoo.py --import`.
fn assert_state_dicts(goldens: BTreeMap<String, Golden>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pytorch");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, golden) in goldens {
        let network = network(&name, &golden);
        let mut trainer = trainer(&network, 7, Optimizer::PLAIN);
        let own = trainer.model().to_safetensors(Contents::Parameters).unwrap();
        std::fs::write(folder.join(format!("{name}.safetensors")), own).unwrap();
        let logits = logits(&trainer, golden.logits.len());
        let rows: Vec<&[f32]> = logits.chunks(10).collect();
        let text = serde_json::to_string(&rows).unwrap();
        std::fs::write(folder.join(format!("{name}.json")), text).unwrap();

        // Every tensor of PyTorch's file comes back as it was.
        let theirs = state_dict(&golden);
        trainer.model_mut().load_safetensors(&theirs, Contents::Parameters).unwrap();
        let ours = trainer.model().to_safetensors(Contents::Parameters).unwrap();
        let ours = SafeTensors::deserialize(&ours).unwrap();
        let theirs = SafeTensors::deserialize(&theirs).unwrap();
        assert_eq!(ours.names().len(), golden.tensors.len(), "{name}");
        for (tensor, shape) in &golden.tensors {
            let (ours, theirs) = (ours.tensor(tensor).unwrap(), theirs.tensor(tensor).unwrap());
            assert_eq!(ours.shape(), shape, "{name} {tensor}");
            assert!(ours.data() == theirs.data(), "{name} {tensor}");
        }
    }
}

#[test]
fn files_of_the_crate_are_the_state_dicts_of_pytorch() {
    assert_state_dicts(goldens(false));
}

#[test]
#[ignore = "large networks: make soak"]
fn files_of_large_networks_are_the_state_dicts_of_pytorch() {
    assert_state_dicts(goldens(true));
}

#[test]
fn what_does_not_belong_to_the_network_is_refused_by_name_and_nothing_changes() {
    let all = goldens(false);
    let lenet = network("lenet5", &all["lenet5"]);
    let mut trainer = trainer(&lenet, 1, Optimizer::ADAMW);
    let before = logits(&trainer, EXAMPLES);
    let file = |remove: &str, add: &str| {
        let golden = &all["lenet5"];
        let mut tensors = golden.tensors.clone();
        tensors.retain(|(name, _)| name != remove);
        if !add.is_empty() {
            tensors.push((add.to_owned(), vec![3]));
        }
        state_dict(&Golden { tensors, logits: vec![], ..*golden })
    };
    let mut refused = |bytes: &[u8], contents| {
        trainer.model_mut().load_safetensors(bytes, contents).unwrap_err().to_string()
    };
    let message = refused(&file("fc2.bias", ""), Contents::Parameters);
    assert!(message.contains("fc2.bias"), "{message}");
    let message = refused(&file("", "fc9.bias"), Contents::Parameters);
    assert!(message.contains("fc9.bias") && message.contains("no place"), "{message}");
    let message = refused(&file("", ""), Contents::Checkpoint);
    assert!(message.contains("PyTorch"), "{message}");
    assert_eq!(logits(&trainer, EXAMPLES), before);
}

#[test]
fn a_normalisation_without_scales_gets_ones_and_takes_nothing_else() {
    let norm = Normalisation::batch_paper();
    let network = zoo::by_name("resnet8-w8", Shape::new(8, 8, 3), 10, norm).unwrap();
    let mut trainer = trainer(&network, 1, Optimizer::ADAMW);
    let own = trainer.model().to_safetensors(Contents::Parameters).unwrap();
    let file = SafeTensors::deserialize(&own).unwrap();
    let ones = file.tensor("norm.weight").unwrap();
    assert!(ones.data().chunks(4).all(|bytes| bytes == 1f32.to_le_bytes()));
    trainer.model_mut().load_safetensors(&own, Contents::Parameters).unwrap();
    let mut twos = ones.data().to_vec();
    twos[..4].copy_from_slice(&2f32.to_le_bytes());
    let twos = TensorView::new(Dtype::F32, ones.shape().to_vec(), &twos).unwrap();
    let mut tensors = file.tensors();
    tensors.retain(|(name, _)| name != "norm.weight");
    tensors.push(("norm.weight".to_owned(), twos));
    let other = safetensors::serialize(tensors, None).unwrap();
    let error = trainer.model_mut().load_safetensors(&other, Contents::Parameters).unwrap_err();
    assert!(error.to_string().contains("norm.weight"), "{error}");
}

#[test]
fn checkpoints_hold_the_optimizers_state_of_either_kind() {
    let shape = Shape::new(8, 8, 3);
    let network = zoo::by_name("resnet8-w8", shape, 4, Normalisation::batch()).unwrap();
    let images = images(shape, EXAMPLES);
    let labels = [0, 1, 2, 3, 1];
    let set = Examples::new(&images, &labels, shape);
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: true };
    for (optimizer, names) in [(sgd, 1), (Optimizer::ADAMW, 2)] {
        let run = |trainer: &mut Trainer, steps| {
            for _ in 0..steps {
                trainer.step_on(set, None).unwrap();
            }
            while trainer.take_report(true).unwrap().is_some() {}
            trainer.model().to_safetensors(Contents::Checkpoint).unwrap()
        };
        let mut first = trainer(&network, 3, optimizer);
        let middle = run(&mut first, 3);
        let expected = run(&mut first, 2);
        let mut second = trainer(&network, 3, optimizer);
        run(&mut second, 1);
        second.model_mut().load_safetensors(&middle, Contents::Checkpoint).unwrap();
        assert!(run(&mut second, 2) == expected, "{optimizer:?}");
        let file = SafeTensors::deserialize(&expected).unwrap();
        let stored = file.names().iter().filter(|n| n.starts_with("optimizer/")).count();
        assert_eq!(stored, names * network.parameters.len());
        let moved = file.names().into_iter().filter(|n| n.starts_with("optimizer/"));
        assert!(moved.into_iter().all(|n| file.tensor(n).unwrap().data().iter().any(|b| *b != 0)));
    }
}

#[test]
fn adamw_trains() {
    let shape = Shape::new(8, 8, 3);
    let network = zoo::by_name("resnet8-gn4-w8", shape, 4, Normalisation::batch()).unwrap();
    let images = images(shape, EXAMPLES);
    let set = Examples::new(&images, &[0, 1, 2, 3, 1], shape);
    let mut trainer = trainer(&network, 3, Optimizer::ADAMW);
    let mut losses = Vec::new();
    for _ in 0..40 {
        losses.extend(trainer.step_on(set, None).unwrap().map(|report| report.loss()));
    }
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last < 0.5 * first, "{first} to {last}");
}
