//! Several ranks take the steps that one device would take. Here they are threads, each with a
//! trainer of its own.

use std::sync::Arc;
use std::thread;

use crate::common::device::context;
use crate::common::ranks::{
    Data, SMALL, Step, alone, assert_near, assert_same_step, numbers, options, seen, small,
    small_options, step_alone, tolerance,
};
use crate::common::steps::run;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::zoo::ResNet;
use l2rw::nn::{BuildError, Network, Normalisation, Shape, zoo};
use l2rw::plan::{Optimizer, Route};
use l2rw::train::{Ranks, Schedule, ThreadRanks, Traffic, TrainError, Trainer, TrainerOptions};
use l2rw::weighting::{L2rw, MetaWeightNet, Setup, Uniform, by_name};

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
