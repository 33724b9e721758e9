//! One whole iteration of L2RW and of Meta-Weight-Net on the GPU against double-backward PyTorch in
//! float64.

use std::collections::HashMap;
use std::path::Path;

use crate::common::device::{self, context, poison, upload};
use crate::common::values;
use l2rw::gpu::{
    Context, DeviceTensors, Executable, Lifetime, ShaderChecks, TensorId, Tuning, read_back,
};
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::ops::Step;
use l2rw::plan::{Input, Optimizer, Plan, Route, TrainingOptions, training};
use l2rw::weighting::{L2rw, MetaOptimizer, MetaWeightNet, Weighting};
use safetensors::{Dtype, SafeTensors};

/// A golden file.
struct Golden {
    metadata: HashMap<String, String>,
    bytes: Vec<u8>,
}

impl Golden {
    fn open(case: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/goldens")
            .join(format!("{case}.safetensors"));
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        Self { metadata, bytes }
    }

    fn number(&self, key: &str) -> f64 {
        self.metadata[key].parse().unwrap()
    }

    fn size(&self, key: &str) -> usize {
        self.metadata[key].parse().unwrap()
    }

    fn labels(&self, key: &str) -> Vec<u32> {
        self.metadata[key].split(',').map(|label| label.trim().parse().unwrap()).collect()
    }

    fn tensor(&self, name: &str) -> Option<Vec<f64>> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).ok()?;
        let data = tensor.data();
        Some(match tensor.dtype() {
            Dtype::F64 => {
                data.chunks(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect()
            }
            _ => data.chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap()).into()).collect(),
        })
    }

    /// The elements that the file has of a tensor.
    fn thinned(&self, name: &str, whole: &[f64]) -> Vec<f64> {
        let stride = self.metadata.get(&format!("stride/{name}"));
        whole.iter().step_by(stride.map_or(1, |stride| stride.parse().unwrap())).copied().collect()
    }
}

fn network(case: &str, golden: &Golden) -> Network {
    let epsilon = golden.number("eps") as f32;
    let resnet = |norm: Normalisation| {
        let norm = Normalisation { epsilon, ..norm };
        let options = zoo::ResNet::cifar(8, norm).unwrap().with_widths([4, 8, 16]);
        options.build(case, Shape::new(12, 12, 3), 10)
    };
    let network = match case {
        _ if case.contains("mnist_lenet") => zoo::mnist_lenet(Shape::new(28, 28, 1), 10),
        "lenet5" => zoo::lenet5(Shape::new(28, 28, 1), 10),
        "mlp_layernorm_gelu" => {
            let mlp = zoo::Mlp { hidden: vec![24, 13], layer_norm: true, gelu: true };
            mlp.build(case, Shape::new(5, 6, 3), 10)
        }
        "torchvision_resnet18" => zoo::TorchvisionResNet::new(18)
            .and_then(|resnet| resnet.build(case, Shape::new(33, 37, 3), 10)),
        _ if case.contains("groupnorm") => resnet(Normalisation::group(2)),
        _ if case.contains("noscale") => {
            resnet(Normalisation { scale: false, ..Normalisation::batch() })
        }
        _ => resnet(Normalisation::batch()),
    };
    network.unwrap()
}

/// Parameters and their momentum, by the formulas of the goldens' README.
fn initial_state(network: &Network) -> (Vec<f32>, Vec<f32>) {
    let mut parameters = vec![0.0; network.parameters_len];
    let mut velocity = vec![0.0; network.parameters_len];
    for (number, parameter) in (0u32..).zip(&network.parameters) {
        let fan_in: usize = parameter.shape[..parameter.shape.len() - 1].iter().product();
        let factor = (3.0 / fan_in as f64).sqrt() as f32;
        for i in 0..parameter.count() {
            let value = values::uniform(100 + number, i as u32) as f32;
            parameters[parameter.position(i)] = match parameter.name.rsplit('.').next() {
                Some("weight") => value * factor,
                Some("scale") => 1.0 + 0.25 * value,
                _ => value * 0.1,
            };
            velocity[parameter.position(i)] = values::uniform(200 + number, i as u32) as f32 * 0.01;
        }
    }
    (parameters, velocity)
}

fn bits(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

struct Outcome {
    network: Network,
    tensors: HashMap<String, Vec<f64>>,
}

/// What the case says of its method.
fn weighting(golden: &Golden, route: Route) -> Weighting {
    let Some(optimizer) = golden.metadata.get("meta/optimizer") else {
        let decay_in_clean_gradient = golden.metadata["g_decay"] == "true";
        let route = Some(route);
        return L2rw { route, decay_in_clean_gradient, last_layers: None }.into();
    };
    let (rate, decay) = (golden.number("meta/rate"), golden.number("meta/decay"));
    let momentum = golden.number("meta/momentum");
    let optimizer = match optimizer.as_str() {
        "adam" => MetaOptimizer::Adam { rate, decay },
        _ => MetaOptimizer::Nesterov { rate, momentum, decay },
    };
    Weighting::from(MetaWeightNet {
        hidden: golden.size("meta/hidden"),
        by_sum: golden.metadata["meta/by_sum"] == "true",
        per_class: golden.metadata["meta/per_class"] == "true",
        optimizer,
        route: Some(route),
    })
}

/// State of the weight function before the step, by the formulas of the goldens' README.
fn meta_state(golden: &Golden, name: &str, initial: &[u32]) -> Vec<u32> {
    let hidden = golden.metadata.get("meta/hidden").map_or(1, |h| h.parse().unwrap());
    let net = 3 * hidden + 1;
    let adam = golden.metadata.get("meta/optimizer").is_some_and(|name| name == "adam");
    let hashed = |tag: u32, count: usize| (0..count as u32).map(move |i| values::uniform(tag, i));
    let count = initial.len();
    match name {
        "theta" => bits(hashed(300, count).enumerate().map(|(at, value)| {
            if (2 * hidden..3 * hidden + 1).contains(&(at % net)) {
                value as f32 * 0.3
            } else {
                value as f32
            }
        })),
        "moments" if adam => {
            let first = hashed(301, count / 2).map(|value| value as f32 * 1e-3);
            let second = hashed(302, count / 2).map(|value| value.abs() as f32 * 1e-5);
            bits(first.chain(second))
        }
        _ => initial.to_vec(),
    }
}

/// Runs one iteration and reads every result back.
fn run(case: &str, golden: &Golden, route: Route, checks: ShaderChecks) -> Outcome {
    let network = network(case, golden);
    let (n, m) = (golden.size("n"), golden.size("m"));
    let options = TrainingOptions {
        batch: n,
        clean_batch: m,
        weighting: weighting(golden, route),
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        // Every way to write kernels gets its turn.
        tuning: match checks {
            ShaderChecks::Trusted => Tuning::GPU,
            ShaderChecks::Checked => device::offered(Tuning::SOFTWARE),
        },
        input: Input::Buffers,
    };
    let plan = training(&network, &options).unwrap();
    let context = context(checks);
    let externals = externals(context, &network, golden, n, m, &plan);
    // SAFETY: the recording is a plan of the crate's.
    let executable =
        unsafe { Executable::trusted(context, plan.recording.clone(), &externals) }.unwrap();
    poison(context, &executable);
    let mut encoder = context.device.create_command_encoder(&Default::default());
    executable.encode(&mut encoder.begin_compute_pass(&Default::default()));
    context.queue.submit([encoder.finish()]);

    let mut tensors = HashMap::new();
    let mut read = |name: &str, id: TensorId| {
        let bytes = executable.recording().tensor(id).bytes();
        let words = read_back(context, executable.buffer(id).unwrap(), bytes).unwrap();
        let floats = words.into_iter().map(|word| f64::from(f32::from_bits(word))).collect();
        tensors.insert(name.to_owned(), floats);
    };
    read("u", plan.similarities.unwrap());
    read("w", plan.weights);
    read("train_losses", plan.train.losses);
    read("clean_losses", plan.clean.unwrap().losses);
    for name in [
        "parameters",
        "velocity",
        "clean_gradient",
        "running",
        "weighting/theta",
        "weighting/moments",
    ] {
        if let Some(id) = plan.recording.find(name) {
            read(name, id);
        }
    }
    Outcome { network, tensors }
}

fn externals(
    context: &Context,
    network: &Network,
    golden: &Golden,
    n: usize,
    m: usize,
    plan: &Plan,
) -> DeviceTensors {
    let (parameters, velocity) = initial_state(network);
    let step = Step {
        number: golden.metadata.get("meta/step").map_or(0, |step| step.parse().unwrap()),
        learning_rate: golden.number("learning_rate") as f32,
        momentum: golden.number("momentum") as f32,
        weight_decay: golden.number("weight_decay") as f32,
        ..Step::default()
    };
    let image = network.input().len();
    let images = |key: &str, n: usize| {
        let tag = golden.size(key) as u32;
        bits(values::values(tag, n * image).into_iter().map(|v| v as f32))
    };
    let zeros = vec![0u32; network.parameters_len];
    let mut externals = DeviceTensors::new();
    let step = upload(context, bytemuck::cast_slice(&[step]), Lifetime::ExternalUniform);
    externals.insert("step", step);
    let mut storage = |label: &str, words: &[u32]| {
        externals.insert(label, upload(context, words, Lifetime::External));
    };
    storage("parameters", &bits(parameters));
    storage("velocity", &bits(velocity));
    storage("decay_mask", &bits(network.decay_mask()));
    storage("gradient", &zeros);
    storage("clean_gradient", &zeros);
    storage("not_finite", &vec![0; plan.recording.tensor(plan.not_finite).len]);
    if network.running_len > 0 {
        storage("running", &bits(network.initial_running()));
    }
    storage("uniform/clean", &bits(vec![1.0 / m as f32; m]));
    storage("train/images", &images("train_image_tag", n));
    storage("clean/images", &images("clean_image_tag", m));
    storage("train/labels", &golden.labels("train_labels"));
    storage("clean/labels", &golden.labels("clean_labels"));
    for state in &plan.state {
        let words = meta_state(golden, &state.name, &state.initial);
        storage(&format!("weighting/{}", state.name), &words);
    }
    externals
}

/// Largest difference relative to the largest expected element.
fn relative_error(name: &str, found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    let error = found.iter().zip(expected).fold(0.0f64, |worst, (f, e)| {
        if f.is_finite() { worst.max((f - e).abs()) } else { f64::INFINITY }
    });
    if largest == 0.0 { error } else { error / largest }
}

/// What went into the first moments of the weight function.
fn meta_gradient(golden: &Golden, outcome: &Outcome, count: usize) -> Vec<f64> {
    let float = |word: &u32| f64::from(f32::from_bits(*word));
    let before: Vec<f64> =
        meta_state(golden, "moments", &vec![0; 2 * count]).iter().map(float).collect();
    let theta: Vec<f64> = meta_state(golden, "theta", &vec![0; count]).iter().map(float).collect();
    let decay = golden.number("meta/decay");
    let (kept, added) = match golden.metadata["meta/optimizer"].as_str() {
        "adam" => (0.9, 0.1),
        _ => (golden.number("meta/momentum"), 1.0),
    };
    let after = &outcome.tensors["weighting/moments"];
    let gradient = |k: usize| (after[k] - kept * before[k]) / added - decay * theta[k];
    (0..count).map(gradient).collect()
}

#[derive(Debug)]
struct Case {
    name: &'static str,
    route: Route,
}

/// Both routes where both are exact.
fn cases() -> Vec<Case> {
    use Route::{PerLayer, Tangent};
    let exact_both = [
        "mnist_lenet",
        "lenet5",
        "mlp_layernorm_gelu",
        "resnet8_groupnorm",
        "resnet8_groupnorm_zero",
        "mwn_groupnorm_raw_nesterov",
        "mwn_groupnorm_class_sum_adam",
        "mwn_mnist_lenet_raw_adam",
    ];
    let tangent_only = [
        "resnet8_batchnorm",
        "resnet8_batchnorm_noscale",
        "resnet8_batchnorm_zero",
        "resnet8_batchnorm_gdecay",
        "mwn_batchnorm_raw_adam",
        "mwn_batchnorm_sum_nesterov",
    ];
    let both = exact_both
        .into_iter()
        .flat_map(|name| [Tangent, PerLayer].map(|route| Case { name, route }));
    let tangent = tangent_only.map(|name| Case { name, route: Tangent });
    both.chain(tangent).collect()
}

fn check(case: &Case, checks: ShaderChecks) -> Vec<String> {
    let golden = Golden::open(case.name);
    let outcome = run(case.name, &golden, case.route, checks);
    let mut failures = Vec::new();
    let mut compare = |name: &str, found: &[f64], expected: &[f64], tolerance: f64| {
        let error = relative_error(name, found, expected);
        if error > tolerance {
            failures.push(format!("{case:?} {checks:?}: {name} is off by {error:.1e}"));
        }
    };
    // Through 18 layers with statistics of small batches, PyTorch's own f32 is off by 6e-6.
    let deep = if case.name == "torchvision_resnet18" { 5.0 } else { 1.0 };
    for (name, tolerance) in
        [("u", 1e-5), ("w", 2e-5), ("train_losses", 1e-5), ("clean_losses", 1e-5)]
    {
        compare(name, &outcome.tensors[name], &golden.tensor(name).unwrap(), deep * tolerance);
    }
    for name in ["theta", "moments"] {
        if let (Some(found), Some(expected)) =
            (outcome.tensors.get(&format!("weighting/{name}")), golden.tensor(name))
        {
            // Nesterov's momentum has no second moments: the golden's are zero.
            compare(name, found, &expected, 1e-4);
        }
    }
    if let (Some(expected), Some(theta)) =
        (golden.tensor("meta_gradient"), outcome.tensors.get("weighting/theta"))
    {
        compare("meta gradient", &meta_gradient(&golden, &outcome, theta.len()), &expected, 1e-4);
    }
    for parameter in &outcome.network.parameters {
        let vectors =
            [("updated", "parameters"), ("momentum", "velocity"), ("g", "clean_gradient")];
        for (stored, vector) in vectors {
            let name = format!("{stored}/{}", parameter.name);
            let expected = golden.tensor(&name).unwrap();
            let flat = &outcome.tensors[vector];
            let whole: Vec<f64> =
                (0..parameter.count()).map(|i| flat[parameter.position(i)]).collect();
            let thinned = golden.thinned(&name, &whole);
            // The Gram form leaves out the parts of G that it does not need.
            let skipped =
                stored == "g" && case.route == Route::PerLayer && thinned.iter().all(|v| *v == 0.0);
            if !skipped {
                compare(&name, &thinned, &expected, 1e-4);
                let norm = format!("norm/{name}");
                if let Some(expected) = golden.tensor(&norm) {
                    let found = whole.iter().map(|v| v * v).sum::<f64>().sqrt();
                    compare(&norm, &[found], &expected, 1e-4);
                }
            }
        }
    }
    for running in &outcome.network.running {
        for (kind, offset) in [("mean", 0), ("var", running.stored)] {
            let name = format!("running/{}.{kind}", running.name);
            let found = &outcome.tensors["running"][running.offset + offset..][..running.channels];
            let found = golden.thinned(&name, found);
            compare(&name, &found, &golden.tensor(&name).unwrap(), deep * 1e-5);
        }
    }
    failures
}

/// Hundreds of pipelines: in `Tuning::GPU`, a software driver compiles them for a minute.
const LARGE: Case = Case { name: "torchvision_resnet18", route: Route::Tangent };

#[track_caller]
fn assert_equals_pytorch(cases: Vec<Case>, checks: ShaderChecks) {
    let failures: Vec<String> =
        cases.into_iter().flat_map(move |case| check(&case, checks)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_iteration_equals_second_order_differentiation() {
    assert_equals_pytorch(cases(), ShaderChecks::Trusted);
}

#[test]
fn an_iteration_with_runtime_checks_equals_second_order_differentiation() {
    assert_equals_pytorch(cases(), ShaderChecks::Checked);
}

#[test]
fn an_iteration_of_torchvisions_resnet_equals_second_order_differentiation() {
    assert_equals_pytorch(vec![LARGE], ShaderChecks::Checked);
}

#[test]
#[ignore = "compiles for a minute: make soak"]
fn an_iteration_of_torchvisions_resnet_on_a_gpu_equals_second_order_differentiation() {
    assert_equals_pytorch(vec![LARGE], ShaderChecks::Trusted);
}

#[test]
fn when_no_example_helps_all_weights_are_exactly_zero() {
    for name in ["resnet8_groupnorm_zero", "resnet8_batchnorm_zero"] {
        let golden = Golden::open(name);
        let outcome = run(name, &golden, Route::Tangent, ShaderChecks::Trusted);
        assert!(outcome.tensors["u"].iter().all(|u| *u < 0.0), "{name}");
        assert!(outcome.tensors["w"].iter().all(|w| *w == 0.0), "{name}");
    }
}
