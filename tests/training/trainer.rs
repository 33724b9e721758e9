//! The trainer on the device: submissions, reproducibility, checkpoints, sampling.

use std::collections::HashSet;
use std::time::Duration;

use crate::common::device::{context, own_context};
use crate::common::steps::run;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Network, Normalisation, Padding, Shape, zoo};
use l2rw::plan::{Optimizer, Route};
use l2rw::train::{Contents, EarlyStopping, Examples, Trainer, TrainerOptions};
use l2rw::weighting::{L2rw, Mentor, Setup, Uniform, Weighting, by_name, variants};

const L2RW: L2rw = L2rw { route: None, decay_in_clean_gradient: false, last_layers: None };

fn network() -> Network {
    let net = zoo::ResNet::cifar(8, Normalisation::batch()).unwrap().with_widths([4, 8, 8]);
    net.build("resnet8-w4", Shape::new(8, 8, 3), 4).unwrap()
}

/// Images whose brightest channel or whose dark half tells the class.
fn images(len: usize) -> (Vec<u8>, Vec<u32>) {
    let labels: Vec<u32> = (0..len as u32).map(|i| i % 4).collect();
    let mut images = Vec::new();
    for (i, label) in labels.iter().enumerate() {
        for pixel in 0..64 {
            for channel in 0..3u32 {
                let noise = (i * 31 + pixel * 17 + channel as usize * 7) * 2_654_435 % 97;
                let lit = if *label == 3 { pixel < 32 } else { channel == *label };
                images.push(noise as u8 + if lit { 120 } else { 20 });
            }
        }
    }
    (images, labels)
}

fn trainer(network: &Network, weighting: impl Into<Weighting>, seed: u32) -> Trainer {
    let (pixels, labels) = images(60);
    let set = Examples::new(&pixels, &labels, network.input());
    let options = TrainerOptions {
        batch: 12,
        clean_batch: 8,
        crop_pad: 1,
        seed,
        ..TrainerOptions::cifar(weighting)
    };
    Trainer::new(context(ShaderChecks::Trusted), network, set, Some(set), &options).unwrap()
}

#[test]
fn a_step_is_one_submission() {
    let own = own_context();
    let network = network();
    let (pixels, labels) = images(60);
    let set = Examples::new(&pixels, &labels, network.input());
    for weighting in [Weighting::from(Uniform), L2RW.into()] {
        let name = weighting.name();
        let options =
            TrainerOptions { batch: 12, clean_batch: 8, ..TrainerOptions::cifar(weighting) };
        let mut trainer = Trainer::new(&own, &network, set, Some(set), &options).unwrap();
        let before = own.submissions();
        let reports = run(&mut trainer, 7);
        assert_eq!(own.submissions() - before, 7, "{name}");
        assert_eq!(reports.len(), 7);
    }
}

#[test]
fn a_limit_to_submissions_cuts_steps_and_changes_no_bit() {
    let network = network();
    let (pixels, labels) = images(60);
    let set = Examples::new(&pixels, &labels, network.input());
    let options = TrainerOptions { batch: 12, clean_batch: 8, ..TrainerOptions::cifar(L2RW) };
    let run_of = |limit: Option<Duration>| {
        let own = own_context().with_submission_limit(limit);
        let mut trainer = Trainer::new(&own, &network, set, Some(set), &options).unwrap();
        let before = own.submissions();
        let reports = run(&mut trainer, 7);
        let submissions = own.submissions() - before;
        let (predictions, losses) = trainer.evaluation(set, 60).unwrap().run().unwrap();
        let checkpoint = trainer.model().to_safetensors(Contents::Checkpoint).unwrap();
        ((reports, predictions, losses, checkpoint), submissions)
    };
    let (whole, one_each) = run_of(None);
    // So little that every group of dispatches is a submission.
    let (cut, many) = run_of(Some(Duration::from_nanos(1)));
    assert!(whole == cut, "the same reports, scores and checkpoint");
    assert_eq!(one_each, 7);
    assert!(many > 7 * 50, "{many} submissions of 7 steps");
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_does_not() {
    let network = network();
    let bits = |seed| {
        let reports = run(&mut trainer(&network, L2RW, seed), 6);
        let floats = reports.iter().flat_map(|r| r.weights.iter().chain(&r.losses));
        floats.map(|value| value.to_bits()).collect::<Vec<u32>>()
    };
    assert_eq!(bits(3), bits(3));
    assert_ne!(bits(3), bits(4));
}

/// Odd numbers of channels in front of everything that may see more of them.
fn odd_network() -> Network {
    let mut b = Network::builder("odd", Shape::new(8, 8, 3));
    let mut x = b.input();
    x = b.conv("conv1", x, 5, 3, 1, Padding::Same, false);
    x = b.norm("norm1", x, Normalisation::batch());
    x = b.relu("relu1", x);
    x = b.conv("conv2", x, 6, 3, 1, Padding::Same, true);
    x = b.max_pool("pool", x, 2, 2, Padding::Valid);
    x = b.conv("conv3", x, 9, 3, 1, Padding::Same, true);
    x = b.norm("norm3", x, Normalisation::group(3));
    x = b.linear("fc1", x, 7);
    x = b.dropout("dropout", x, 0.25);
    x = b.relu("relu", x);
    b.linear("fc2", x, 4);
    b.build().unwrap()
}

#[test]
fn channels_of_zeros_are_stored_where_they_stay_zeros() {
    let network = odd_network();
    let stored: Vec<usize> = network.layers.iter().map(|layer| layer.stored.channels).collect();
    assert_eq!(stored, [3, 8, 8, 8, 8, 9, 9, 8, 8, 8, 4]);
    // A variance of zero has no root to divide by.
    let mut b = Network::builder("bare", Shape::new(8, 8, 3));
    let x = b.conv("conv", b.input(), 5, 3, 1, Padding::Same, false);
    let x = b.norm("norm", x, Normalisation { epsilon: 0.0, ..Normalisation::batch() });
    b.linear("fc", x, 4);
    assert!(b.build().unwrap().layers.iter().all(|layer| layer.stored == layer.shape));
    let learned: HashSet<usize> =
        network.parameters.iter().flat_map(|p| (0..p.count()).map(|i| p.position(i))).collect();
    assert_eq!(learned.len(), network.parameter_count(), "every value has a place of its own");
    let (pixels, labels) = images(60);
    let set = Examples::new(&pixels, &labels, network.input());
    let sgd = Optimizer::Sgd { momentum: 0.9, nesterov: true };
    // What never has a gradient stays in place even where no ε keeps AdamW from dividing by zero.
    let adamw = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 0.0 };
    for (optimizer, route) in
        [(sgd, Route::Tangent), (Optimizer::ADAMW, Route::PerLayer), (adamw, Route::Tangent)]
    {
        let l2rw = L2rw { route: Some(route), ..L2RW };
        let options = TrainerOptions {
            batch: 12,
            clean_batch: 8,
            optimizer,
            weight_decay: 0.01,
            ..TrainerOptions::cifar(l2rw)
        };
        let context = context(ShaderChecks::Trusted);
        let mut trainer = Trainer::new(context, &network, set, Some(set), &options).unwrap();
        run(&mut trainer, 5);
        let buffer = trainer.model().parameters().unwrap();
        let flat = l2rw::gpu::read_back(context, buffer, buffer.size()).unwrap();
        let initial = network.initial_parameters(options.seed.into());
        let mut moved = 0;
        for (index, (word, initial)) in flat.iter().zip(&initial).enumerate() {
            if learned.contains(&index) {
                moved += usize::from(*word != initial.to_bits());
            } else {
                assert_eq!(f32::from_bits(*word), 0.0, "element {index}, {optimizer:?}");
            }
        }
        assert!(moved > learned.len() / 2, "{moved} of {} learned values moved", learned.len());
    }
}

#[test]
fn reports_come_in_order_and_none_is_lost() {
    let network = network();
    let reports = run(&mut trainer(&network, L2RW, 1), 11);
    let steps: Vec<u64> = reports.iter().map(|r| r.step).collect();
    assert_eq!(steps, (0..11).collect::<Vec<u64>>());
}

#[test]
fn a_pass_over_the_set_draws_every_example_once_and_the_next_in_another_order() {
    let network = network();
    let reports = run(&mut trainer(&network, Uniform, 1), 10);
    let passes: Vec<Vec<u32>> = reports
        .chunks(5)
        .map(|pass| pass.iter().flat_map(|r| r.indices.clone()).collect())
        .collect();
    for pass in &passes {
        assert_eq!(pass.iter().collect::<HashSet<_>>().len(), 60);
    }
    assert_ne!(passes[0], passes[1]);
}

#[test]
fn weights_sum_to_one_and_follow_the_sign_of_the_similarities() {
    let network = network();
    for report in run(&mut trainer(&network, L2RW, 2), 5) {
        let sum: f32 = report.weights.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        for (w, u) in report.weights.iter().zip(&report.similarities) {
            assert_eq!(*w > 0.0, *u > 0.0, "weight {w}, similarity {u}");
        }
    }
}

#[test]
fn training_learns_and_evaluation_sees_it() {
    let network = network();
    let mut trainer = trainer(&network, L2RW, 5);
    let (pixels, labels) = images(60);
    let set = Examples::new(&pixels, &labels, network.input());
    // 7 does not divide 60: the last batch is filled up, and the filling is not reported.
    let mut evaluation = trainer.evaluation(set, 7).unwrap();
    let mean = |losses: Vec<f32>| losses.iter().sum::<f32>() / losses.len() as f32;
    run(&mut trainer, 60);
    let (predictions, losses) = evaluation.run().unwrap();
    assert_eq!((predictions.len(), losses.len()), (60, 60));
    let right = predictions.iter().zip(&labels).filter(|(p, l)| p == l).count();
    assert!(right >= 50, "{right} of 60");
    assert!(mean(losses) < 0.7);
}

#[test]
fn early_stopping_goes_back_to_the_step_that_was_best_on_the_clean_set() {
    let network = network();
    let mut trainer = trainer(&network, Uniform, 5);
    let mut early = EarlyStopping::new();
    early.restore(&mut trainer).unwrap();
    let labels = [0, 1, 2, 3];
    let mut observe = |trainer: &Trainer, predictions: [u32; 4], loss: f32| {
        early.observe(trainer, &predictions, &[loss; 4], &labels).unwrap()
    };
    run(&mut trainer, 2);
    assert!(observe(&trainer, [0, 0, 2, 0], f32::NAN));
    assert!(!observe(&trainer, [0, 0, 2, 0], f32::NAN));
    assert!(observe(&trainer, [0, 0, 2, 0], 1.0), "any loss is better than a NaN");
    assert!(!observe(&trainer, [0, 0, 2, 0], f32::NAN));
    run(&mut trainer, 1);
    assert!(observe(&trainer, [0, 1, 2, 0], 3.0), "accuracy counts before the loss");
    run(&mut trainer, 1);
    assert!(observe(&trainer, [0, 1, 0, 3], 2.0), "of equal accuracies the lower loss");
    let best = trainer.snapshot().unwrap();
    run(&mut trainer, 2);
    assert!(!observe(&trainer, [0, 1, 0, 3], 2.0));
    assert!(!observe(&trainer, [0, 1, 0, 0], 0.1));
    assert_ne!(trainer.snapshot().unwrap(), best);
    assert_eq!(early.best_step(), Some(4));
    early.restore(&mut trainer).unwrap();
    assert_eq!(trainer.snapshot().unwrap(), best);
}

#[test]
fn a_snapshot_carries_a_network_into_another_trainer_of_the_same_network_only() {
    let network = network();
    let mut first = trainer(&network, L2RW, 5);
    run(&mut first, 3);
    let snapshot = first.snapshot().unwrap();
    let mut second = trainer(&network, Uniform, 6);
    second.restore(&snapshot).unwrap();
    assert_eq!(second.snapshot().unwrap(), snapshot);
    let other = zoo::ResNet::cifar(8, Normalisation::batch()).unwrap().with_widths([4, 8, 12]);
    let other = other.build("other", Shape::new(8, 8, 3), 4).unwrap();
    let message = trainer(&other, Uniform, 9).restore(&snapshot).unwrap_err().to_string();
    assert!(message.contains("parameters"), "{message}");
}

#[test]
fn every_method_takes_one_submission_a_step() {
    let own = own_context();
    let network = zoo::mlp(Shape::new(8, 8, 3), &[6], 4).unwrap();
    let (pixels, labels) = images(60);
    let set = Examples::new(&pixels, &labels, network.input());
    let setup = Setup {
        steps: 3,
        label_correct: Some(vec![0.5; 4]),
        confusion: Some(vec![1.0; 16]),
        mentor: Some(Mentor::untrained(1)),
        ..Setup::default()
    };
    for variant in variants() {
        let weighting = by_name(variant.name, &setup).unwrap();
        let options =
            TrainerOptions { batch: 12, clean_batch: 8, ..TrainerOptions::cifar(weighting) };
        let mut trainer = Trainer::new(&own, &network, set, Some(set), &options).unwrap();
        let before = own.submissions();
        run(&mut trainer, 3);
        assert_eq!(own.submissions() - before, 3, "{}", variant.name);
    }
}

#[test]
fn sets_that_do_not_fit_are_refused() {
    let network = network();
    let (pixels, mut labels) = images(60);
    let shape = network.input();
    let options = TrainerOptions { batch: 12, clean_batch: 8, ..TrainerOptions::cifar(L2RW) };
    let new = |set: Examples<'_>, clean: Option<Examples<'_>>| {
        let context = context(ShaderChecks::Trusted);
        Trainer::new(context, &network, set, clean, &options).unwrap_err().to_string()
    };
    let set = Examples::new(&pixels, &labels, shape);
    assert!(new(set, None).contains("clean"));
    let short = Examples { values: pixels[1..].into(), ..set };
    assert!(new(short, Some(set)).contains("11520"), "expected bytes");
    labels[17] = 4;
    let wrong = Examples::new(&pixels, &labels, shape);
    let message = new(wrong, None);
    assert!(message.contains("17") && message.contains('4'), "{message}");
}

#[test]
fn batches_of_a_few_numbers_in_all_are_trained_on_and_scored() {
    let sets = [1, 2, 3].map(|n| (n, [1, 2, 3]));
    for (n, features) in sets.into_iter().flat_map(|(n, all)| all.map(|features| (n, features))) {
        for (hidden, route) in [(8, Route::Tangent), (8, Route::PerLayer), (3, Route::Tangent)] {
            let network = zoo::mlp(Shape::new(1, 1, features), &[hidden], 3).unwrap();
            let pixels: Vec<u8> = (0..n * features).map(|i| (i * 90) as u8).collect();
            let labels: Vec<u32> = (0..n as u32).collect();
            let set = Examples::new(&pixels, &labels, network.input());
            let options =
                TrainerOptions { batch: n, clean_batch: 1, ..TrainerOptions::plain(features) };
            let weighting = L2rw { route: Some(route), ..L2RW }.into();
            let options = TrainerOptions { weighting, ..options };
            let context = context(ShaderChecks::Trusted);
            let mut trainer = Trainer::new(context, &network, set, Some(set), &options)
                .unwrap_or_else(|error| panic!("{n} of {features}: {error}"));
            let reports = run(&mut trainer, 2);
            assert!(reports.iter().all(|report| report.loss().is_finite()), "{reports:?}");
            let mut evaluation = trainer.evaluation(set, 1).unwrap();
            assert_eq!(evaluation.scores().unwrap().scores.len(), 3 * n);
        }
    }
}

/// Drivers unroll loops over constants: the walk of the visiting order must not become one.
#[test]
fn sets_of_a_few_images_are_trained_on_in_seconds() {
    let network = network();
    for len in [1, 2, 3, 5] {
        let (pixels, labels) = images(len);
        let set = Examples::new(&pixels, &labels, network.input());
        let batch = len.min(2);
        let options = TrainerOptions { batch, clean_batch: batch, ..TrainerOptions::cifar(L2RW) };
        let start = std::time::Instant::now();
        let mut trainer =
            Trainer::new(context(ShaderChecks::Trusted), &network, set, Some(set), &options)
                .unwrap();
        let per_pass = len / batch;
        for (at, reports) in run(&mut trainer, 3 * per_pass).chunks(per_pass).enumerate() {
            let drawn: Vec<u32> = reports.iter().flat_map(|r| r.indices.clone()).collect();
            let distinct: HashSet<u32> = drawn.iter().copied().collect();
            assert_eq!(distinct.len(), per_pass * batch, "{len} images, pass {at}: {drawn:?}");
            assert!(distinct.iter().all(|index| (*index as usize) < len));
        }
        let seconds = start.elapsed().as_secs_f64();
        assert!(seconds < 60.0, "{len} images took {seconds:.0} s");
    }
}

#[test]
fn evaluation_leaves_dropout_out_whatever_the_normalisation_is() {
    let shape = Shape::new(1, 1, 6);
    let images: Vec<u8> = (0..5 * 6).map(|i| (i * 37 % 256) as u8).collect();
    let set = Examples::new(&images, &[0, 1, 2, 0, 1], shape);
    for norm in [None, Some(Normalisation::group(2)), Some(Normalisation::batch())] {
        let scores = |rate| {
            let mut b = Network::builder("dropout", shape);
            let mut x = b.linear("fc1", b.input(), 32);
            x = norm.map_or(x, |norm| b.norm("norm", x, norm));
            x = b.dropout("dropout", x, rate);
            b.linear("fc2", x, 3);
            let (context, network) = (context(ShaderChecks::Trusted), b.build().unwrap());
            let trainer = Trainer::for_batches(context, &network, &TrainerOptions::plain(6));
            trainer.unwrap().evaluation(set, 5).unwrap().scores().unwrap().scores
        };
        assert_eq!(scores(0.9), scores(0.0), "{norm:?}");
    }
}
