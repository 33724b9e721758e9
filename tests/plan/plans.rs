//! Plans are data: everything here runs without a device.

use l2rw::gpu::{Precision, Staging, Tuning, memory};
use l2rw::nn::{FixedStatistics, Frozen, Network, Normalisation, Shape, zoo};
use l2rw::ops::batch::{Gather, ValueType};
use l2rw::plan::{
    DatasetFacts, DatasetShape, Exchange, Input, Optimizer, Plan, PlanError, Route,
    TrainingOptions, training, training_on,
};
use l2rw::weighting::{
    AdaBoost, Focal, Ghm, L2rw, LabelWeights, MetaWeightNet, Reed, Resampling, SModel, Smote,
    Uniform, Weighting,
};

fn options(weighting: impl Into<Weighting>, batch: usize, clean_batch: usize) -> TrainingOptions {
    TrainingOptions {
        batch,
        clean_batch,
        weighting: weighting.into(),
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        tuning: Tuning::GPU,
        input: Input::Buffers,
    }
}

fn l2rw(route: Option<Route>) -> Weighting {
    L2rw { route, ..L2rw::default() }.into()
}

fn resnet(norm: Normalisation) -> Network {
    zoo::ResNet::cifar(8, norm).unwrap().build("resnet8", Shape::new(32, 32, 3), 10).unwrap()
}

fn lenet() -> Network {
    zoo::mnist_lenet(Shape::new(28, 28, 1), 10).unwrap()
}

fn plan(network: &Network, weighting: impl Into<Weighting>, n: usize, m: usize) -> Plan {
    training(network, &options(weighting, n, m)).unwrap()
}

/// Operations of convolutions alone, in forward passes of one example.
fn units(plan: &Plan, network: &Network) -> f64 {
    let is_convolution =
        |name: &str| name.starts_with("conv") || ["gram", "matmul"].contains(&name);
    let convolutions =
        plan.recording.dispatches.iter().filter(|d| is_convolution(d.kernel.shader.name));
    convolutions.map(|d| d.flops).sum::<u64>() as f64 / network.forward_flops() as f64
}

#[test]
fn the_lenet_of_caffes_example_has_its_431080_parameters() {
    let network = zoo::by_name("caffe_lenet", Shape::new(28, 28, 1), 10, Normalisation::batch());
    let network = network.unwrap();
    let convolutions = 25 * 20 + 20 + 25 * 20 * 50 + 50;
    assert_eq!(network.parameter_count(), convolutions + 800 * 500 + 500 + 5000 + 10);
    assert_eq!(network.parameter_count(), 431_080);
    assert_eq!(network.name, "caffe_lenet");
    assert!(!network.mixes_examples());
}

#[test]
fn the_default_route_is_tangent_where_examples_mix_and_per_layer_where_not() {
    let mixing = plan(&resnet(Normalisation::batch()), l2rw(None), 4, 4);
    let separate = plan(&resnet(Normalisation::group(4)), l2rw(None), 4, 4);
    assert_eq!(mixing.route, Some(Route::Tangent));
    assert_eq!(separate.route, Some(Route::PerLayer));
    assert!(mixing.exact && separate.exact);
}

#[test]
fn per_layer_similarity_with_batch_statistics_is_marked_as_an_approximation() {
    let network = resnet(Normalisation::batch());
    assert!(!plan(&network, l2rw(Some(Route::PerLayer)), 4, 4).exact);
    assert!(plan(&network, l2rw(Some(Route::Tangent)), 4, 4).exact);
}

#[test]
fn operations_are_those_that_counting_forward_passes_gives() {
    let (n, m) = (100.0, 10.0);
    // The first layer has no input gradient and no input tangent: a little less than counted.
    for (network, weighting, counted) in [
        (resnet(Normalisation::batch()), Weighting::from(Uniform), 3.0 * n),
        (resnet(Normalisation::batch()), l2rw(Some(Route::Tangent)), 5.0 * n + 3.0 * m),
        (resnet(Normalisation::group(4)), l2rw(Some(Route::PerLayer)), 4.0 * n + 3.0 * m),
        (lenet(), l2rw(Some(Route::PerLayer)), 4.0 * n + 3.0 * m),
    ] {
        let plan = plan(&network, weighting, n as usize, m as usize);
        let ratio = units(&plan, &network) / counted;
        assert!((0.9..=1.0).contains(&ratio), "{}: {ratio}", network.name);
    }
}

#[test]
fn meta_weight_net_takes_one_more_backward_pass_than_l2rw_and_the_same_tangents() {
    let (n, m) = (100.0, 100.0);
    for (network, counted) in [
        (resnet(Normalisation::batch()), 7.0 * n + 3.0 * m),
        (resnet(Normalisation::group(4)), 5.0 * n + 3.0 * m),
    ] {
        let plan = plan(&network, MetaWeightNet::default(), n as usize, m as usize);
        let ratio = units(&plan, &network) / counted;
        assert!((0.9..=1.0).contains(&ratio), "{}: {ratio}", network.name);
    }
}

#[test]
fn the_last_layers_alone_cost_less_and_are_marked_as_an_approximation() {
    let network = resnet(Normalisation::batch());
    let (n, m) = (100.0, 100.0);
    let last = |count| L2rw { last_layers: Some(count), ..L2rw::default() };
    let one = plan(&network, last(1), n as usize, m as usize);
    assert!(!one.exact);
    // Forward passes of both batches and plain training's backward pass.
    let ratio = units(&one, &network) / (3.0 * n + m);
    assert!((0.9..=1.0).contains(&ratio), "{ratio}");
    let all = plan(&network, last(1000), n as usize, m as usize);
    assert!(all.exact);
    let exact = plan(&network, L2rw::default(), n as usize, m as usize);
    assert_eq!(units(&all, &network), units(&exact, &network));
}

#[test]
fn what_a_method_needs_and_does_not_get_is_said_by_name() {
    let network = lenet();
    let gather = Gather { height: 28, width: 28, channels: 1, crop_pad: 0, flip: false };
    let set =
        DatasetShape { len: 50, values: ValueType::Bytes, images_per_piece: 50, streamed: false };
    let input = Input::Datasets { train: set, clean: set, gather };
    let refused = |weighting: Weighting, input: &Input, facts: &DatasetFacts<'_>| {
        let options = TrainingOptions { input: input.clone(), ..options(weighting, 4, 4) };
        training_on(&network, &options, facts).unwrap_err().to_string()
    };
    let unknown = DatasetFacts::default();
    let message = refused(LabelWeights::Proportion.into(), &input, &unknown);
    assert!(message.contains("proportion") && message.contains("labels"), "{message}");
    let message = refused(AdaBoost.into(), &Input::Buffers, &unknown);
    assert!(message.contains("adaboost") && message.contains("data set"), "{message}");
    let labels: Vec<u32> = (0..50).map(|i| u32::from(i > 0)).collect();
    let facts = DatasetFacts { labels: &labels, classes: 10, ..DatasetFacts::default() };
    let message = refused(Resampling::Over.into(), &Input::Buffers, &facts);
    assert!(message.contains("over-sampling") && message.contains("buffers"), "{message}");
    let message = refused(Resampling::Under.into(), &input, &facts);
    assert!(message.contains("between 1 and 2"), "one example of each class is left: {message}");
    let message = refused(Smote { neighbours: 5 }.into(), &input, &facts);
    assert!(message.contains("smote") && message.contains("values"), "{message}");
    for (weighting, expected) in [
        (Weighting::from(LabelWeights::Weighted(vec![0.5; 3])), "10 classes"),
        (Weighting::from(LabelWeights::Weighted(vec![1.5; 10])), "1.5"),
        (Weighting::from(Focal { gamma: -1.0, beta: None }), "-1"),
        (Weighting::from(Focal { gamma: 0.0, beta: Some(1.0) }), "β"),
        (Weighting::from(Reed { beta: 1.5, hard: true }), "1.5"),
        (Weighting::from(SModel::Diagonal(1.0)), "ε"),
        (Weighting::from(SModel::Confusion(vec![1.0; 9])), "10 classes"),
        (Weighting::from(Ghm { bins: 0, momentum: 0.0 }), "regions"),
        (Weighting::from(MetaWeightNet { hidden: 0, ..MetaWeightNet::default() }), "hidden"),
    ] {
        let message = refused(weighting, &input, &facts);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_gram_form_is_taken_where_it_is_cheaper() {
    let kernels = |m| -> Vec<String> {
        let plan = plan(&lenet(), l2rw(Some(Route::PerLayer)), 100, m);
        let stages = plan.recording.dispatches.iter().filter(|d| d.stage == "similarity");
        stages.filter(|d| d.label == "fc1").map(|d| d.kernel.to_string()).collect()
    };
    // 1024 × 100 weights: 10 clean images make pairs cheap, 10,000 do not.
    assert!(kernels(10).contains(&"matmul::nt".to_owned()), "{:?}", kernels(10));
    let products = kernels(10_000);
    assert!(products.iter().any(|kernel| kernel.ends_with("::similarity")), "{products:?}");
}

#[test]
fn exchange_points_are_what_all_ranks_have_to_agree_on() {
    let network = resnet(Normalisation::batch());
    let plan = plan(&network, l2rw(None), 4, 4);
    let labels: Vec<&str> = plan
        .exchange_points
        .iter()
        .map(|point| plan.recording.tensor(point.tensor).label.as_str())
        .collect();
    let expected = [
        ("clean_gradient", Exchange::Sum),
        ("weights//largest", Exchange::Maximum),
        ("weights//total", Exchange::Sum),
        ("gradient", Exchange::Sum),
        ("running", Exchange::Mean),
        ("not_finite", Exchange::NotFinite),
    ];
    assert_eq!(labels, expected.map(|(label, _)| label));
    let kinds = plan.exchange_points.iter().map(|point| point.exchange);
    assert!(kinds.eq(expected.map(|(_, kind)| kind)), "{:?}", plan.exchange_points);
    for point in &plan.exchange_points {
        let dispatches = &plan.recording.dispatches;
        let writes = |at: usize| {
            dispatches[at].bindings.iter().any(|b| b.tensor == point.tensor && b.is_written())
        };
        assert!((0..point.before_dispatch).any(writes), "written before");
        assert!(!(point.before_dispatch..dispatches.len()).any(writes), "and not after");
    }
}

#[test]
fn tensors_that_share_memory_never_live_at_the_same_time() {
    let network = resnet(Normalisation::batch());
    let plan = plan(&network, l2rw(None), 8, 8);
    let memory = memory::plan(&plan.recording);
    let mut owner: Vec<Option<usize>> = vec![None; memory.slots.len()];
    for dispatch in &plan.recording.dispatches {
        for binding in &dispatch.bindings {
            let tensor = binding.tensor.0;
            let Some(slot) = memory.slot_of[tensor] else { continue };
            if binding.access == l2rw::gpu::Access::Write {
                owner[slot] = Some(tensor);
            }
            assert_eq!(owner[slot], Some(tensor), "{} in {}", tensor, dispatch.label);
            assert!(plan.recording.tensors[tensor].bytes() <= memory.slots[slot]);
        }
    }
}

#[test]
fn memory_is_reused() {
    let network = resnet(Normalisation::batch());
    let plan = plan(&network, l2rw(None), 8, 8);
    let all: u64 = plan
        .recording
        .tensors
        .iter()
        .filter(|t| t.lifetime == l2rw::gpu::Lifetime::Transient)
        .map(|t| t.bytes())
        .sum();
    let memory = memory::plan(&plan.recording);
    assert!(memory.bytes() * 2 < all, "{} of {all}", memory.bytes());
}

#[test]
fn a_layer_of_a_residual_network_costs_a_pass_four_barriers() {
    let network = zoo::ResNet::cifar(32, Normalisation::batch()).unwrap();
    let network = network.build("resnet32", Shape::new(32, 32, 3), 10).unwrap();
    let recording = plan(&network, l2rw(None), 100, 100).recording;
    let (dispatches, barriers) = (recording.dispatches.len(), recording.barriers());
    println!("ResNet-32 on a GPU: {dispatches} dispatches, {barriers} barriers");
    // Clean and dual forward pass, both backward passes; little for shortcuts, loss and weights.
    let (layers, blocks) = (31, 15);
    assert!(barriers < 4 * 4 * layers + 3 * blocks, "{barriers}");
}

#[test]
fn a_plan_prints_every_dispatch_and_the_totals() {
    let plan = plan(&lenet(), l2rw(None), 4, 4);
    let text = plan.to_string();
    assert_eq!(text.lines().count(), plan.recording.dispatches.len() + 2);
    assert!(text.contains("conv_weight_gradient::split_sums"), "{text}");
    assert!(text.lines().last().unwrap().contains("GFLOP"), "{text}");
}

#[test]
fn a_batch_larger_than_its_set_is_refused() {
    let set = |len| DatasetShape {
        len,
        values: ValueType::Bytes,
        images_per_piece: 1000,
        streamed: false,
    };
    let gather = Gather { height: 32, width: 32, channels: 3, crop_pad: 2, flip: true };
    let input = Input::Datasets { train: set(50), clean: set(10), gather };
    let network = resnet(Normalisation::batch());
    for (batch, clean_batch, which) in [(51, 10, "training"), (50, 11, "clean"), (0, 1, "training")]
    {
        let options =
            TrainingOptions { input: input.clone(), ..options(l2rw(None), batch, clean_batch) };
        match training(&network, &options) {
            Err(PlanError::Batch { which: found, .. }) => assert_eq!(found, which),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn batch_norm_of_a_single_value_is_refused_by_the_name_of_the_layer() {
    let network = |side: usize, normalisation: Normalisation| {
        let mut b = Network::builder("small", Shape::new(side, side, 3));
        let x = b.input();
        let x = b.norm("bn", x, normalisation);
        let x = b.global_average_pool("pool", x);
        b.linear("scores", x, 2);
        b.build().unwrap()
    };
    let batch = || network(1, Normalisation::batch());
    for (batches, part) in [((1, 4), "training batch of 1"), ((4, 1), "clean batch of 1")] {
        let error = training(&batch(), &options(l2rw(None), batches.0, batches.1)).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("'bn'") && message.contains(part), "{message}");
    }
    // Two values, whether of two examples or of two pixels, and groups of one example.
    assert!(training(&batch(), &options(l2rw(None), 2, 2)).is_ok());
    let [larger, groups] =
        [network(2, Normalisation::batch()), network(1, Normalisation::group(1))];
    assert!(training(&larger, &options(l2rw(None), 1, 1)).is_ok());
    assert!(training(&groups, &options(l2rw(None), 1, 1)).is_ok());
}

#[test]
fn images_of_another_size_than_the_networks_are_refused() {
    let set =
        DatasetShape { len: 50, values: ValueType::Bytes, images_per_piece: 50, streamed: false };
    let gather = Gather { height: 28, width: 28, channels: 1, crop_pad: 0, flip: false };
    let input = Input::Datasets { train: set, clean: set, gather };
    let network = resnet(Normalisation::batch());
    let error = training(&network, &TrainingOptions { input, ..options(l2rw(None), 4, 4) });
    let message = error.unwrap_err().to_string();
    assert!(message.contains("32x32x3") && message.contains("28x28x1"), "{message}");
}

#[test]
fn builder_errors_name_the_layer() {
    let mut b = Network::builder("broken", Shape::new(8, 8, 3));
    let x = b.input();
    let y = b.norm("group_of_five", x, Normalisation::group(5));
    b.linear("head", y, 10);
    let message = b.build().unwrap_err().to_string();
    assert!(message.contains("group_of_five") && message.contains('5'), "{message}");

    let mut b = Network::builder("unused", Shape::new(8, 8, 3));
    let x = b.input();
    b.linear("forgotten", x, 10);
    b.linear("head", x, 10);
    assert!(b.build().unwrap_err().to_string().contains("forgotten"));
}

#[test]
fn published_networks_have_the_published_numbers_of_parameters() {
    let cifar = Shape::new(32, 32, 3);
    let count = |net: zoo::ResNet| net.build("net", cifar, 10).unwrap().parameter_count();
    assert_eq!(lenet().parameter_count(), 167_113 + 9 * 101, "ten classes instead of one score");
    // Weights of 31 convolutions, scales and shifts of 31 norms, and the linear layer.
    let resnet32 = zoo::ResNet::cifar(32, Normalisation::batch()).unwrap();
    assert_eq!(count(resnet32.clone()), 461_232 + resnet32_norms() + 650);
    let wide = zoo::ResNet::wide(28, 10, Normalisation::batch(), 0.3).unwrap();
    assert!((36_000_000..36_700_000).contains(&count(wide)));
}

/// Two norms a block over its input and its middle, one at the end.
fn resnet32_norms() -> usize {
    let (stages, mut input, mut total) = ([16, 32, 64], 16, 0);
    for width in stages {
        for _ in 0..5 {
            total += 2 * (input + width);
            input = width;
        }
    }
    total + 2 * 64
}

#[test]
fn a_backward_pass_ends_at_the_first_layer_that_learns() {
    let whole = resnet(Normalisation::batch());
    for statistics in [FixedStatistics::None, FixedStatistics::OfFrozen, FixedStatistics::All] {
        let frozen =
            Frozen { before: Some("stage3".into()), layers: vec!["norm".into()], statistics };
        let network = whole.freeze(&frozen).unwrap();
        let is_frozen = |label: &str| network.layers.iter().any(|l| l.name == label && l.frozen);
        for route in [Route::Tangent, Route::PerLayer] {
            let [before, after] =
                [&whole, &network].map(|network| plan(network, l2rw(Some(route)), 8, 8));
            let frozen_in = |plan: &Plan, stage: &str| {
                let dispatches = plan.recording.dispatches.iter();
                dispatches.filter(|d| d.stage == stage && is_frozen(&d.label)).count()
            };
            // Behind the first layer that learns, a gradient passes one that is frozen.
            let in_between = |plan: &Plan, stage: &str| {
                let dispatches = plan.recording.dispatches.iter();
                dispatches.filter(|d| d.stage == stage && d.label == "norm").count()
            };
            assert!(frozen_in(&before, "backward") > in_between(&before, "backward"));
            assert_eq!(frozen_in(&after, "backward"), in_between(&after, "backward"));
            assert!(in_between(&after, "backward") > 0);
            // Of stages 1 and 2, with two thirds of the operations, forward passes alone are left.
            let (before, after) = (units(&before, &whole), units(&after, &whole));
            assert!(after < 0.6 * before, "{statistics:?} {route:?}: {before} to {after}");
        }
    }
}

#[test]
fn networks_are_found_by_name() {
    let shape = Shape::new(32, 32, 3);
    let norm = Normalisation::batch();
    for (name, mixes) in [
        ("resnet8-w8", true),
        ("resnet20-gn8", false),
        ("wrn-10-2", true),
        ("lenet5", false),
        ("mlp", false),
    ] {
        let network = zoo::by_name(name, shape, 10, norm).unwrap();
        assert_eq!(network.mixes_examples(), mixes, "{name}");
    }
    for name in ["resnet9", "resnet", "wrn-28", "alexnet", "resnet8-x3"] {
        let message = zoo::by_name(name, shape, 10, norm).unwrap_err().to_string();
        assert!(message.contains("resnet") || message.contains(name), "{message}");
    }
}

#[test]
fn factors_are_rounded_on_request_and_only_behind_everything_that_similarities_are_made_of() {
    let weightings = || {
        let routes = [Route::Tangent, Route::PerLayer].map(|route| l2rw(Some(route)));
        let others = [Uniform.into(), MetaWeightNet::default().into()];
        routes.into_iter().chain(others)
    };
    for network in [resnet(Normalisation::batch()), resnet(Normalisation::group(4))] {
        for weighting in weightings() {
            let plan_of = |precision| {
                let staging = Tuning::GPU.staging.map(|s| Staging { channels: 1, precision, ..s });
                let tuning = Tuning { staging, ..Tuning::GPU };
                let options = TrainingOptions { tuning, ..options(weighting.clone(), 8, 4) };
                training(&network, &options).unwrap()
            };
            let first_rounding = |plan: &Plan| {
                let dispatches = &plan.recording.dispatches;
                dispatches.iter().position(|d| d.kernel.source().starts_with("enable f16;"))
            };
            assert_eq!(first_rounding(&plan_of(Precision::F32)), None);
            let plan = plan_of(Precision::F16);
            let first = first_rounding(&plan).expect("the last backward pass rounds");
            for dispatch in &plan.recording.dispatches[first..] {
                let stage = dispatch.stage;
                assert!(["backward", "gradient", "update"].contains(&stage), "{dispatch:?}");
            }
        }
    }
}

#[test]
fn no_size_of_a_tuning_breaks_a_plan() {
    let sizes = [0, 1, usize::MAX / 2 + 1, usize::MAX];
    for (start, size) in [Tuning::GPU, Tuning::SOFTWARE]
        .into_iter()
        .flat_map(|tuning| sizes.map(|size| (tuning, size)))
    {
        let staging = start.staging.map(|staging| Staging { workgroups: size, ..staging });
        let tunings = [
            Tuning { chunk: size, ..start },
            Tuning { split_invocations: size, ..start },
            Tuning { staging, ..start },
        ];
        for (tuning, network) in tunings
            .into_iter()
            .flat_map(|tuning| [(tuning, lenet()), (tuning, resnet(Normalisation::batch()))])
        {
            let options = TrainingOptions { tuning, ..options(L2rw::default(), 3, 2) };
            training(&network, &options).unwrap_or_else(|error| panic!("{tuning:?}: {error}"));
        }
    }
}
