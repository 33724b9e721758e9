//! Layers that stay as they are while others learn.

use crate::common::device::context;
use crate::common::values;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{FixedStatistics, Frozen, Network, Normalisation, Shape, zoo};
use l2rw::ops::Optimizer;
use l2rw::plan::Route;
use l2rw::train::{Contents, Examples, TrainError, Trainer, TrainerOptions};
use l2rw::weighting::{L2rw, Weighting};
use safetensors::SafeTensors;

const SHAPE: Shape = Shape { height: 8, width: 8, channels: 3 };

fn network() -> Network {
    zoo::by_name("resnet8-w4", SHAPE, 4, Normalisation::batch()).unwrap()
}

fn options(frozen: Frozen, optimizer: Optimizer) -> TrainerOptions {
    TrainerOptions {
        batch: 6,
        clean_batch: 5,
        optimizer,
        weight_decay: 0.1,
        frozen,
        ..TrainerOptions::plain(3)
    }
}

fn trainer(options: &TrainerOptions) -> Trainer {
    Trainer::for_batches(context(ShaderChecks::Trusted), &network(), options).unwrap()
}

fn frozen(before: Option<&str>, layers: &[&str], statistics: FixedStatistics) -> Frozen {
    let layers = layers.iter().map(|name| (*name).to_owned()).collect();
    Frozen { before: before.map(str::to_owned), layers, statistics }
}

fn step(trainer: &mut Trainer) {
    let pixel = |i| ((values::uniform(5, i) + 1.0) * 127.0) as u8;
    let images: Vec<u8> = (0..(11 * SHAPE.len()) as u32).map(pixel).collect();
    let labels: Vec<u32> = (0..11).map(|i| i * 3 % 4).collect();
    let (train, clean) = images.split_at(6 * SHAPE.len());
    let train = Examples::new(train, &labels[..6], SHAPE);
    let clean = Examples::new(clean, &labels[6..], SHAPE);
    trainer.step_on(train, Some(clean)).unwrap();
}

/// Names of the tensors that three steps have changed.
fn moved(frozen: Frozen, optimizer: Optimizer) -> Vec<String> {
    let mut trainer = trainer(&options(frozen, optimizer));
    let file = |trainer: &Trainer| trainer.model().to_safetensors(Contents::Parameters).unwrap();
    let before = file(&trainer);
    for _ in 0..3 {
        step(&mut trainer);
    }
    let after = file(&trainer);
    let [before, after] = [&before, &after].map(|file| SafeTensors::deserialize(file).unwrap());
    let mut names = before.names();
    names.sort_unstable();
    names.retain(|name| before.tensor(name).unwrap().data() != after.tensor(name).unwrap().data());
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn frozen_layers_keep_their_bits_and_all_others_move() {
    let all = moved(Frozen::default(), Optimizer::ADAMW);
    let is_running = |name: &String| name.contains(".running_");
    assert!(all.len() > 30 && all.iter().any(is_running));
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: false };
    for optimizer in [sgd, Optimizer::ADAMW] {
        for statistics in [FixedStatistics::None, FixedStatistics::OfFrozen, FixedStatistics::All] {
            let layers = ["stage3.block1.conv1", "norm"];
            let found = moved(frozen(Some("stage2"), &layers, statistics), optimizer);
            let is_frozen = |name: &str| {
                ["stem", "stage1", "stage3.block1.conv1", "norm"]
                    .iter()
                    .any(|layer| name.strip_prefix(layer).is_some_and(|n| n.starts_with('.')))
            };
            let expected = all.iter().filter(|name| match (is_running(name), statistics) {
                (true, FixedStatistics::None) => true,
                (true, FixedStatistics::All) => false,
                _ => !is_frozen(name),
            });
            let expected: Vec<&String> = expected.collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{optimizer:?} {statistics:?}");
        }
    }
}

#[test]
fn with_all_statistics_fixed_the_route_layer_by_layer_is_taken_and_exact() {
    let route = |statistics| {
        let trainer = trainer(&options(frozen(None, &[], statistics), Optimizer::ADAMW));
        (trainer.plan().route, trainer.plan().exact)
    };
    assert_eq!(route(FixedStatistics::None), (Some(Route::Tangent), true));
    assert_eq!(route(FixedStatistics::All), (Some(Route::PerLayer), true));
}

#[test]
fn both_routes_find_the_same_similarities_behind_frozen_layers() {
    let u = |route| {
        let frozen = frozen(Some("stage2"), &["stage3.block1.norm1"], FixedStatistics::All);
        let weighting = Weighting::from(L2rw { route: Some(route), ..L2rw::default() });
        let mut trainer =
            trainer(&TrainerOptions { weighting, ..options(frozen, Optimizer::ADAMW) });
        step(&mut trainer);
        trainer.take_report(true).unwrap().unwrap().similarities
    };
    let (tangent, layers) = (u(Route::Tangent), u(Route::PerLayer));
    let largest = tangent.iter().fold(0f32, |most, u| most.max(u.abs()));
    assert!(largest > 1e-3);
    for (a, b) in tangent.iter().zip(&layers) {
        assert!((a - b).abs() < 1e-5 * largest, "{tangent:?} {layers:?}");
    }
}

#[test]
fn what_cannot_be_frozen_is_refused_and_a_checkpoint_of_other_layers_is_too() {
    let refused = |frozen| {
        let options = options(frozen, Optimizer::ADAMW);
        let context = context(ShaderChecks::Trusted);
        Trainer::for_batches(context, &network(), &options).unwrap_err().to_string()
    };
    let message = refused(frozen(None, &["stage9"], FixedStatistics::None));
    assert!(message.contains("frozen") && message.contains("stage9"), "{message}");

    let checkpoint = trainer(&options(Frozen::default(), Optimizer::ADAMW))
        .model()
        .to_safetensors(Contents::Checkpoint)
        .unwrap();
    let other = frozen(Some("stage3"), &[], FixedStatistics::None);
    let mut other = trainer(&options(other, Optimizer::ADAMW));
    match other.model_mut().load_safetensors(&checkpoint, Contents::Checkpoint) {
        Err(TrainError::OtherRun { differences, .. }) => {
            assert!(differences.iter().any(|d| d.option.contains("stem")), "{differences:?}");
        }
        other => panic!("{other:?}"),
    }
    other.model_mut().load_safetensors(&checkpoint, Contents::Parameters).unwrap();
}
