//! Several ranks take the steps that one device would take. Here they are threads, each with a
//! trainer of its own.

use std::sync::Arc;
use std::thread;

use crate::common::device::context;
use crate::common::steps::run;
use crate::common::values;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::zoo::ResNet;
use l2rw::nn::{BuildError, Network, Normalisation, Padding, Shape, zoo};
use l2rw::plan::{Optimizer, Route};
use l2rw::train::{
    Contents, Examples, Ranks, Schedule, Snapshot, StepReport, ThreadRanks, Traffic, TrainError,
    Trainer, TrainerOptions,
};
use l2rw::weighting::{L2rw, MetaWeightNet, Setup, Uniform, Weighting, by_name};

/// A training and a clean set of the same images of classes that differ in brightness, with some
/// labels of the former wrong.
struct Data {
    shape: Shape,
    train: (Vec<u8>, Vec<u32>),
    clean: (Vec<u8>, Vec<u32>),
}

impl Data {
    fn new(shape: Shape, (train, clean): (usize, usize), classes: u32) -> Self {
        let set = |count: usize, seed: u32, wrong: usize| {
            let labels: Vec<u32> = (0..count as u32).map(|i| i % classes).collect();
            let value = |at: usize| {
                let class = labels[at / shape.len()] as f32;
                let noise = values::uniform(seed, at as u32) as f32;
                (127.0 + 60.0 * noise + 3.0 * class * ((at % 7) as f32 - 3.0)).clamp(0.0, 255.0)
            };
            let images = (0..count * shape.len()).map(|at| value(at) as u8).collect();
            let given = |(i, label): (usize, &u32)| match i % 4 < wrong {
                true => (label + 1) % classes,
                false => *label,
            };
            (images, labels.iter().enumerate().map(given).collect())
        };
        Self { shape, train: set(train, 1, 1), clean: set(clean, 2, 0) }
    }

    fn set<'a>(&self, (images, labels): &'a (Vec<u8>, Vec<u32>)) -> Examples<'a> {
        Examples::new(images, labels, self.shape)
    }
}

/// A run as one rank sees it.
struct Seen {
    reports: Vec<StepReport>,
    parameters: Vec<u8>,
    checkpoint: Vec<u8>,
}

fn seen(trainer: &mut Trainer, steps: usize) -> Seen {
    let reports = run(trainer, steps);
    let file = |contents| trainer.model().to_safetensors(contents).unwrap();
    let (parameters, checkpoint) = (file(Contents::Parameters), file(Contents::Checkpoint));
    Seen { reports, parameters, checkpoint }
}

fn made(
    network: &Network,
    data: &Data,
    options: &TrainerOptions,
    ranks: Arc<dyn Ranks>,
) -> Result<Trainer, TrainError> {
    let context = context(ShaderChecks::Trusted);
    let (train, clean) = (data.set(&data.train), data.set(&data.clean));
    Trainer::distributed(context, network, train, Some(clean), options, ranks)
}

/// What each of so many ranks makes of `what`, in order.
fn on_ranks<T: Send>(count: usize, what: impl Fn(Arc<dyn Ranks>) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let run = |ranks: ThreadRanks| scope.spawn(|| what(Arc::new(ranks)));
        let threads: Vec<_> = ThreadRanks::group(count).into_iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn alone(network: &Network, data: &Data, options: &TrainerOptions) -> Trainer {
    let context = context(ShaderChecks::Trusted);
    let (train, clean) = (data.set(&data.train), data.set(&data.clean));
    Trainer::new(context, network, train, Some(clean), options).unwrap()
}

/// The floats of the tensors of a safetensors file whose names begin like this.
fn numbers(file: &[u8], begin: &str) -> Vec<f32> {
    let tensors = safetensors::SafeTensors::deserialize(file).unwrap();
    let mut named = tensors.tensors();
    named.retain(|(name, _)| name.starts_with(begin));
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    let floats = named.iter().flat_map(|(_, view)| view.data().as_chunks::<4>().0);
    floats.map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Holds numbers to those of one device: all within `share` of the largest.
fn assert_near(what: &str, found: &[f32], expected: &[f32], share: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = largest(expected);
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= share * largest, "{what}[{at}]: {a}, alone {b} of {largest}");
    }
}

/// How far off what a step computes for each example may be, as a share of the largest.
///
/// Ranks sum in another order. Where examples are computed apart, that touches the sums of a step
/// alone. BatchNorm's statistics are such sums as well: where their rounding puts an activation on
/// the other side of a ReLU's kink, a gradient makes a step that is no rounding.
fn tolerance(network: &Network) -> f32 {
    if network.mixes_examples() { 1e-2 } else { 1e-4 }
}

/// Whether a weight is 0 hangs on rounding where u is almost 0.
fn assert_same_signs(what: &str, found: &StepReport, expected: &StepReport, share: f32) {
    let near = share * largest(&expected.similarities);
    let differs = |i: &usize| (found.weights[*i] > 0.0) != (expected.weights[*i] > 0.0);
    for i in (0..expected.weights.len()).filter(differs) {
        assert!(expected.similarities[i].abs() <= near, "{what}: weight {i}");
    }
}

/// One step on one device.
struct Step {
    before: Snapshot,
    report: StepReport,
    parameters: Vec<u8>,
    checkpoint: Vec<u8>,
}

fn step_alone(trainer: &mut Trainer) -> Step {
    let before = trainer.snapshot().unwrap();
    let Seen { mut reports, parameters, checkpoint } = seen(trainer, 1);
    Step { before, report: reports.remove(0), parameters, checkpoint }
}

/// Holds steps of several ranks to those of one device from the same parameters on: a rounding that
/// grows over steps would hide an error, or look like one.
fn assert_equals_alone(
    network: &Network,
    data: &Data,
    options: &TrainerOptions,
    counts: &[usize],
    steps: usize,
) {
    let mut trainer = alone(network, data, options);
    let expected: Vec<Step> = (0..steps).map(|_| step_alone(&mut trainer)).collect();
    for &count in counts {
        let runs = on_ranks(count, |ranks| {
            let mut trainer = made(network, data, options, ranks).unwrap();
            let again = |step: &Step| {
                trainer.restore(&step.before).unwrap();
                step_alone(&mut trainer)
            };
            expected.iter().map(again).collect::<Vec<Step>>()
        });
        let name = format!("{} {} on {count}", network.name, options.weighting.name());
        for found in &runs {
            // Every rank has the whole report and the same parameters.
            for (found, first) in found.iter().zip(&runs[0]) {
                assert!(found.report == first.report, "{name}: reports");
                assert!(found.checkpoint == first.checkpoint, "{name}: checkpoints");
            }
        }
        for (found, expected) in runs[0].iter().zip(&expected) {
            let what = format!("{name}, step {}", expected.report.step);
            assert_same_step(&what, found, expected, tolerance(network));
        }
    }
}

fn assert_same_step(what: &str, found: &Step, expected: &Step, share: f32) {
    let (reported, alone) = (&found.report, &expected.report);
    assert_eq!(reported.indices, alone.indices, "{what}");
    assert_eq!(reported.clean_indices, alone.clean_indices, "{what}");
    let near = |name: &str, of: fn(&StepReport) -> &[f32]| {
        assert_near(&format!("{what}: {name}"), of(reported), of(alone), share);
    };
    near("u", |report| &report.similarities);
    near("w", |report| &report.weights);
    near("loss", |report| &report.losses);
    assert_same_signs(what, reported, alone, share);
    let near = |name: &str, of: &dyn Fn(&Step) -> Vec<f32>| {
        assert_near(&format!("{what}: {name}"), &of(found), &of(expected), share);
    };
    near("parameters", &|step| numbers(&step.parameters, ""));
    // The gradient of the weighted loss, in SGD's velocity or AdamW's moments.
    near("gradients", &|step| numbers(&step.checkpoint, "optimizer/"));
}

fn options(weighting: impl Into<Weighting>) -> TrainerOptions {
    TrainerOptions {
        batch: 96,
        clean_batch: 96,
        weight_decay: 1e-3,
        schedule: Schedule::constant(0.02),
        ..TrainerOptions::cifar(weighting)
    }
}

fn resnet8(norm: Normalisation, shape: Shape) -> Result<Network, BuildError> {
    ResNet::cifar(8, norm)?.with_widths([8, 16, 16]).build("resnet8", shape, 4)
}

#[test]
fn lenet_on_one_to_four_ranks_equals_one_device() {
    let shape = Shape::new(20, 20, 1);
    let data = Data::new(shape, (300, 120), 10);
    let network = zoo::mnist_lenet(shape, 10).unwrap();
    let (mean, deviation) = (vec![0.5], vec![0.5]);
    let options = TrainerOptions { mean, deviation, ..options(L2rw::default()) };
    assert_equals_alone(&network, &data, &options, &[1, 2, 3, 4], 20);
}

#[test]
fn a_resnet_with_groupnorm_on_several_ranks_equals_one_device() {
    let shape = Shape::new(12, 12, 3);
    let data = Data::new(shape, (300, 120), 4);
    let network = resnet8(Normalisation::group(4), shape).unwrap();
    let tangent = L2rw { route: Some(Route::Tangent), ..L2rw::default() };
    assert_equals_alone(&network, &data, &options(tangent), &[2, 3, 4], 20);
    let by_layer = L2rw { decay_in_clean_gradient: true, ..L2rw::default() };
    assert_equals_alone(&network, &data, &options(by_layer), &[2], 20);
}

#[test]
fn batchnorm_over_the_batch_of_all_ranks_is_that_of_one_device() {
    let shape = Shape::new(12, 12, 3);
    let data = Data::new(shape, (300, 120), 4);
    let network = resnet8(Normalisation::batch(), shape).unwrap();
    let options = TrainerOptions { synchronised_norm: true, ..options(L2rw::default()) };
    assert_equals_alone(&network, &data, &options, &[2, 3, 4], 20);
    let mwn = TrainerOptions { weighting: MetaWeightNet::default().into(), ..options };
    assert_equals_alone(&network, &data, &mwn, &[2], 10);
}

#[test]
fn other_methods_on_several_ranks_equal_one_device() {
    let shape = Shape::new(12, 12, 3);
    let data = Data::new(shape, (300, 120), 4);
    let network = resnet8(Normalisation::group(4), shape).unwrap();
    assert_equals_alone(&network, &data, &options(MetaWeightNet::default()), &[2, 3, 4], 20);
    let adamw = TrainerOptions { optimizer: Optimizer::ADAMW, ..options(Uniform) };
    let adamw = TrainerOptions { schedule: Schedule::constant(1e-4), ..adamw };
    assert_equals_alone(&network, &data, &adamw, &[3], 5);
}

/// Small enough for many runs.
const SMALL: Shape = Shape { height: 6, width: 5, channels: 3 };

fn small(norm: Option<Normalisation>) -> Network {
    let mut b = Network::builder("small", SMALL);
    let mut x = b.input();
    x = b.conv("conv", x, 8, 3, 1, Padding::Same, true);
    if let Some(norm) = norm {
        x = b.norm("norm", x, norm);
    }
    x = b.relu("relu", x);
    x = b.dropout("dropout", x, 0.3);
    b.linear("fc", x, 3);
    b.build().unwrap()
}

fn small_options() -> TrainerOptions {
    let schedule = Schedule::constant(1e-4);
    TrainerOptions { batch: 11, clean_batch: 7, schedule, ..options(L2rw::default()) }
}

#[test]
fn batches_that_ranks_do_not_divide_evenly_and_dropout_are_those_of_one_device() {
    let data = Data::new(SMALL, (50, 23), 3);
    assert_equals_alone(&small(None), &data, &small_options(), &[2, 3, 7], 10);
}

#[test]
fn a_second_run_has_the_same_bits_and_so_has_one_that_streams() {
    let data = Data::new(SMALL, (50, 23), 3);
    let network = small(Some(Normalisation::batch()));
    let bits = |options: &TrainerOptions| {
        let runs =
            on_ranks(3, |ranks| seen(&mut made(&network, &data, options, ranks).unwrap(), 12));
        // BatchNorm's statistics are each rank's own, but what is kept of them is not.
        assert!(runs.iter().all(|run| run.checkpoint == runs[0].checkpoint));
        assert!(runs.iter().all(|run| run.reports == runs[0].reports));
        runs[0].checkpoint.clone()
    };
    let (resident, options) = (bits(&small_options()), small_options());
    assert!(resident == bits(&options));
    assert!(resident == bits(&TrainerOptions { device_data_limit: Some(0), ..options }));
}

#[test]
fn what_some_ranks_saved_others_go_on_from() {
    let data = Data::new(SMALL, (50, 23), 3);
    let (network, options) = (small(None), small_options());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let saved = on_ranks(3, |ranks| {
        let mut trainer = made(&network, &data, &options, ranks).unwrap();
        run(&mut trainer, 5);
        trainer.save(&path).unwrap();
        seen(&mut trainer, 5)
    });
    let resumed = |count| {
        let runs = on_ranks(count, |ranks| {
            let mut trainer = made(&network, &data, &options, ranks).unwrap();
            trainer.load(&path).unwrap();
            seen(&mut trainer, 5)
        });
        runs.into_iter().next().unwrap()
    };
    // As many ranks go on with the same bits, others up to rounding.
    assert!(resumed(3).checkpoint == saved[0].checkpoint);
    let expected = numbers(&saved[0].parameters, "");
    for count in [1, 2] {
        let found = resumed(count);
        assert_eq!(found.reports[0].step, 5);
        assert_near("parameters", &numbers(&found.parameters, ""), &expected, 1e-4);
    }
}

#[test]
fn ranks_that_cannot_train_together_say_why() {
    let data = Data::new(SMALL, (50, 23), 3);
    let network = small(None);
    let refused = |count: usize, of: &(dyn Fn(usize) -> TrainerOptions + Sync)| {
        on_ranks(count, |ranks| {
            let options = of(ranks.rank());
            made(&network, &data, &options, ranks).err().map(|error| error.to_string())
        })
    };
    let all = |errors: Vec<Option<String>>, words: &[&str]| {
        for error in errors {
            let error = error.expect("it is refused on every rank");
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    };
    let ghm = by_name("ghm-c", &Setup::default()).unwrap();
    all(refused(2, &|_| options(ghm.clone())), &["ghm-c", "whole batch", "one rank"]);
    all(refused(8, &|_| small_options()), &["clean batch has 7 examples for 8 ranks"]);
    let other = |rank| TrainerOptions { seed: 5 + rank as u32 / 2, ..small_options() };
    let errors = refused(3, &other);
    assert!(errors[0].as_ref().unwrap().contains("rank 2 was given something else"), "{errors:?}");
    assert!(errors[2].as_ref().unwrap().contains("seed is 5 on rank 0 and 6 here"), "{errors:?}");
}

#[test]
fn a_rank_that_ends_fails_the_others_instead_of_leaving_them_waiting() {
    let data = Data::new(SMALL, (50, 23), 3);
    let (network, options) = (small(None), small_options());
    let ended = on_ranks(2, |ranks| {
        let rank = ranks.rank();
        let mut trainer = made(&network, &data, &options, ranks).unwrap();
        trainer.step().unwrap();
        match rank {
            1 => String::new(),
            _ => loop {
                if let Err(error) = trainer.step() {
                    break error.to_string();
                }
            },
        }
    });
    assert_eq!(ended[0], "rank 0 of 2: rank 1 has ended");
}

#[test]
fn what_one_rank_finds_not_finite_stops_all_and_is_told_by_its_place_in_the_batch() {
    let data = Data::new(SMALL, (50, 23), 3);
    let network = small(None);
    let options = TrainerOptions { schedule: Schedule::constant(1e30), ..small_options() };
    let expected = failure(&mut alone(&network, &data, &options));
    let failures =
        on_ranks(2, |ranks| failure(&mut made(&network, &data, &options, ranks).unwrap()));
    assert_eq!(failures[0], failures[1]);
    let step = |text: &str| text.split(": ").next().unwrap().to_owned();
    assert_eq!(step(&failures[0]), step(&expected), "{failures:?} {expected}");
    assert!(failures[0].contains("not finite"), "{failures:?}");
}

fn failure(trainer: &mut Trainer) -> String {
    loop {
        if let Err(error) = trainer.step() {
            return error.to_string();
        }
    }
}

#[test]
fn a_trainer_counts_the_bytes_of_a_step_on_paper() {
    let data = Data::new(SMALL, (50, 23), 3);
    let network = small(None);
    let counted =
        on_ranks(2, |ranks| made(&network, &data, &small_options(), ranks).unwrap().traffic());
    // Two gradients, largest and sum, eight words of what is not finite. To the one other rank go
    // a half of each long vector and a half of the result; short ones go as a whole.
    let gradient = network.parameters_len;
    let expected = 4.0 * (2 * gradient + 1 + 1 + 8) as f64;
    let of_gradient = if gradient > 1024 { 2 } else { 1 };
    let expected = Traffic { bytes: expected, rounds: 2 * of_gradient + 3 };
    assert_eq!(counted, [expected, expected]);
    let trainer = alone(&network, &data, &small_options());
    assert_eq!(trainer.traffic(), Traffic::default());
    assert!(trainer.ranks().is_none() && trainer.is_first_rank());
}
