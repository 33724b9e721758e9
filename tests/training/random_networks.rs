//! Steps of random small networks against a twin of the whole step in `f64`.

use std::collections::{BTreeMap, BTreeSet};

use l2rw::gpu::{Context, ShaderChecks, read_back};
use l2rw::nn::{FixedStatistics, Frozen, Layer, LayerKind, Network, Normalisation, Padding, Shape};
use l2rw::plan::twin::{self, TwinStep};
use l2rw::plan::{DatasetFacts, Optimizer, PlanError, Route};
use l2rw::reference::step::{Memory, MethodTwin, TwinInput};
use l2rw::train::{Examples, Schedule, TrainError, Trainer, TrainerOptions};
use l2rw::weighting::{Mentor, Setup, Weighting, by_name, variants};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Images as bytes, with labels.
struct Batch {
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Batch {
    fn new(rng: &mut Pcg64, n: usize, network: &Network) -> Self {
        let pixels = (0..n * network.input().len()).map(|_| rng.random()).collect();
        let classes = network.classes() as u32;
        Self { pixels, labels: (0..n).map(|_| rng.random_range(0..classes)).collect() }
    }

    fn set(&self, shape: Shape) -> Examples<'_> {
        Examples::new(&self.pixels, &self.labels, shape)
    }

    /// As the network sees them.
    fn inputs(&self) -> Vec<f64> {
        self.pixels.iter().map(|byte| f64::from(*byte) / 127.5 - 1.0).collect()
    }
}

const RATE: f64 = 0.125;

#[derive(Debug)]
enum Trunk {
    Mlp,
    Conv,
}

struct Case {
    network: Network,
    train: Batch,
    clean: Batch,
    method: &'static str,
    route: Option<Route>,
    seed: u64,
}

/// Mostly small, now and then as large as 257: sizes that fill blocks, and those that just do not.
fn size(rng: &mut Pcg64, most: usize) -> usize {
    const EDGES: [usize; 12] = [1, 2, 3, 4, 7, 8, 16, 17, 31, 64, 129, 257];
    match rng.random_range(0..3) {
        0 => rng.random_range(1..=most),
        _ => EDGES[rng.random_range(0..EDGES.len())].min(most),
    }
}

fn normalisation(rng: &mut Pcg64, channels: usize) -> Option<Normalisation> {
    let groups: Vec<usize> = (1..=channels).filter(|g| channels.is_multiple_of(*g)).collect();
    match rng.random_range(0..3) {
        0 => None,
        1 => Some(Normalisation::batch_paper()),
        _ => Some(Normalisation::group(groups[rng.random_range(0..groups.len())])),
    }
}

fn network(rng: &mut Pcg64) -> Network {
    let trunk = if rng.random_range(0..3) == 0 { Trunk::Mlp } else { Trunk::Conv };
    let classes = rng.random_range(2..=12);
    match trunk {
        Trunk::Mlp => {
            let mut net = Network::builder("random", Shape::new(1, 1, size(rng, 257)));
            let mut at = net.input();
            for layer in 0..rng.random_range(0..3) {
                at = net.linear(&format!("fc{layer}"), at, size(rng, 257));
                if rng.random_range(0..2) == 0 {
                    at = net.layer_norm(&format!("norm{layer}"), at);
                }
                at = match rng.random_range(0..2) {
                    0 => net.gelu(&format!("gelu{layer}"), at),
                    _ => net.relu(&format!("relu{layer}"), at),
                };
            }
            net.linear("out", at, classes);
            net.build().unwrap()
        }
        Trunk::Conv => {
            let (height, width) = (rng.random_range(3..=12), rng.random_range(3..=12));
            let mut net = Network::builder("random", Shape::new(height, width, size(rng, 5)));
            let mut at = net.input();
            let mut smallest: usize = height.min(width);
            for layer in 0..rng.random_range(1..4) {
                let channels = size(rng, 33);
                let kernel = [1, 3, 5][rng.random_range(0..3)];
                let stride = if smallest > 4 { rng.random_range(1..=2) } else { 1 };
                smallest = smallest.div_ceil(stride);
                at = net.conv(
                    &format!("conv{layer}"),
                    at,
                    channels,
                    kernel,
                    stride,
                    Padding::Same,
                    rng.random(),
                );
                at = match normalisation(rng, channels) {
                    Some(options) => net.norm(&format!("norm{layer}"), at, options),
                    None => net.relu(&format!("relu{layer}"), at),
                };
                if layer > 0 && stride == 1 && rng.random() {
                    let second = net.conv(
                        &format!("again{layer}"),
                        at,
                        channels,
                        3,
                        1,
                        Padding::Same,
                        rng.random(),
                    );
                    at = net.residual(&format!("sum{layer}"), second, at);
                }
            }
            if rng.random() {
                at = net.global_average_pool("pool", at);
            }
            net.linear("out", at, classes);
            net.build().unwrap()
        }
    }
}

/// Every other network with layers that stay as they are.
fn freeze_some(rng: &mut Pcg64, network: Network) -> Network {
    let has_parameters =
        |layer: &&Layer| matches!(layer.kind, LayerKind::Conv { .. } | LayerKind::Norm { .. });
    let share = [0.0, 0.0, 0.3, 0.7][rng.random_range(0..4)];
    let named = network.layers.iter().filter(has_parameters).map(|layer| layer.name.clone());
    let layers = named.filter(|_| rng.random_bool(share)).collect();
    use FixedStatistics::{All, None, OfFrozen};
    let statistics = [None, OfFrozen, All][rng.random_range(0..3)];
    let frozen = network.freeze(&Frozen { before: Option::None, layers, statistics });
    // Now and then there is nothing left to learn.
    frozen.unwrap_or(network)
}

impl Case {
    fn new(seed: u64) -> Self {
        let rng = &mut Pcg64::seed_from_u64(seed);
        let network = network(rng);
        let network = freeze_some(rng, network);
        let (n, m) = (size(rng, 17), size(rng, 17));
        let train = Batch::new(rng, n, &network);
        let clean = Batch::new(rng, m, &network);
        // Half of them learn to reweight or train plainly, the others are all methods in turn.
        let methods: Vec<&str> = variants().map(|variant| variant.name).collect();
        let method = match rng.random_range(0..10) {
            0 => "baseline",
            1..5 => "l2rw",
            _ => methods[(seed % methods.len() as u64) as usize],
        };
        let either = if rng.random() { Route::PerLayer } else { Route::Tangent };
        let route = if network.mixes_examples() { None } else { Some(either) };
        Self { network, train, clean, method, route, seed }
    }

    /// The method, with all that it may ask for.
    fn weighting(&self) -> Weighting {
        let classes = self.network.classes();
        let counts = (0..classes * classes).map(|i| 1.0 + (i * 7 % 5) as f64);
        let setup = Setup {
            route: self.route,
            steps: 20,
            label_correct: Some((0..classes).map(|k| 1.0 / (k + 2) as f64).collect()),
            confusion: Some(counts.collect()),
            mentor: Some(Mentor::untrained(self.seed)),
            ..Setup::default()
        };
        by_name(self.method, &setup).unwrap()
    }

    fn options(&self, weighting: Weighting) -> TrainerOptions {
        let channels = self.network.input().channels;
        TrainerOptions {
            batch: self.train.labels.len(),
            clean_batch: self.clean.labels.len(),
            schedule: Schedule::constant(RATE as f32),
            optimizer: Optimizer::PLAIN,
            weight_decay: 0.0,
            mean: vec![0.5; channels],
            deviation: vec![0.5; channels],
            seed: SEED,
            ..TrainerOptions::cifar(weighting)
        }
    }

    /// `None` where the method needs to see a training set.
    fn trainer(&self, context: &Context) -> Option<Trainer> {
        let options = self.options(self.weighting());
        match Trainer::for_batches(context, &self.network, &options) {
            Ok(trainer) => Some(trainer),
            Err(TrainError::Plan(PlanError::Weighting { .. })) => None,
            Err(error) => panic!("seed {}, {}: {error}", self.seed, self.method),
        }
    }

    /// The next step on the device.
    fn step(&self, trainer: &mut Trainer) -> TwinStep {
        let shape = self.network.input();
        let clean = trainer.options().weighting.uses_clean_set().then(|| self.clean.set(shape));
        trainer.step_on(self.train.set(shape), clean).unwrap();
        let report = trainer.take_report(true).unwrap().unwrap();
        let doubles = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect();
        TwinStep {
            losses: doubles(&report.losses),
            similarities: doubles(&report.similarities),
            weights: doubles(&report.weights),
            parameters: parameters(trainer),
        }
    }

    /// What a twin sees of a step.
    fn seen(&self, number: u32, parameters: Vec<f64>) -> TwinInput {
        TwinInput {
            network: Some(twin::classifier(&self.network).unwrap()),
            number,
            seed: SEED,
            learning_rate: RATE,
            classes: self.network.classes(),
            inputs: self.train.inputs(),
            labels: self.train.labels.clone(),
            indices: (0..self.train.labels.len() as u32).collect(),
            clean_inputs: self.clean.inputs(),
            clean_labels: self.clean.labels.clone(),
            parameters,
            ..TwinInput::default()
        }
    }

    /// Twins of the method, with states of their own.
    fn twins(&self) -> [MethodTwin; 2] {
        let classes = self.network.classes();
        let facts = DatasetFacts { classes, seed: SEED, ..DatasetFacts::default() };
        [(); 2].map(|()| self.weighting().twin(&facts).unwrap())
    }

    /// A few steps on the device and by twins; whether all hang on no rounding.
    fn compare(&self, trainer: &mut Trainer) -> bool {
        let rng = &mut Pcg64::seed_from_u64(!self.seed);
        // Biases begin as zeros, and examples that they leave equal are told apart by a rounding.
        let mut nudge = |v: &f64| v + 4e-7 * v.abs().max(0.1) * rng.random_range(-1.0..1.0);
        let [mut twin, mut nudged] = self.twins();
        for number in 0..STEPS {
            let theta = parameters(trainer);
            let memory = || Memory::new(theta.len());
            let expected = twin::step(&self.seen(number, theta.clone()), &mut twin, &mut memory());
            let beside = theta.iter().map(&mut nudge).collect();
            let beside = twin::step(&self.seen(number, beside), &mut nudged, &mut memory());
            let apart = expected.distance(&beside);
            // The answer hangs on a rounding: an activation at a ReLU's kink, two maxima of a pool
            // that are nearly equal, a variance near zero, two losses that a method tells apart.
            if !apart.iter().all(|(_, apart)| *apart < TOLERANCE / 20.0) {
                return false;
            }
            let found = self.step(trainer);
            for (part, apart) in expected.distance(&found) {
                assert!(
                    apart < self.tolerance(),
                    "seed {}, step {number}: {part} {apart:.1e} of the largest apart\n{}, {:?}, n \
                     = {}, m = {}\n{:#?}",
                    self.seed,
                    self.method,
                    self.route,
                    self.train.labels.len(),
                    self.clean.labels.len(),
                    self.network.layers
                );
            }
        }
        true
    }

    fn tolerance(&self) -> f64 {
        match self.method {
            // Normal numbers are made with a cosine, which Vulkan lets be off by 2⁻¹¹.
            "random" => 4.0 * TOLERANCE,
            _ => TOLERANCE,
        }
    }
}

fn parameters(trainer: &Trainer) -> Vec<f64> {
    let model = trainer.model();
    let parameters = model.parameters().unwrap();
    let words = read_back(model.context(), parameters, parameters.size()).unwrap();
    words.into_iter().map(|w| f64::from(f32::from_bits(w))).collect()
}

const SEED: u32 = 5;

/// Of a network: the second finds what the first one left in the method's state.
const STEPS: u32 = 2;

/// Of the largest value of each part.
const TOLERANCE: f64 = 1e-3;

/// What came of networks and methods.
#[derive(Debug, Default)]
struct Tally {
    compared: BTreeMap<&'static str, usize>,
    /// Networks whose steps hang on a rounding.
    left_out: usize,
    /// Methods that need to see a training set.
    refused: BTreeSet<&'static str>,
}

/// Compares so many networks, from this seed on.
fn compare(seeds: std::ops::Range<u64>) -> Tally {
    let mut tally = Tally::default();
    // A context keeps its pipelines.
    for few in seeds.collect::<Vec<_>>().chunks(40) {
        println!("from seed {}: {} left out so far", few[0], tally.left_out);
        let opened = Context::new_async(None, ShaderChecks::Trusted);
        let context = pollster::block_on(opened).unwrap();
        for &seed in few {
            let case = Case::new(seed);
            let Some(mut trainer) = case.trainer(&context) else {
                tally.refused.insert(case.method);
                continue;
            };
            match case.compare(&mut trainer) {
                true => *tally.compared.entry(case.method).or_default() += 1,
                false => tally.left_out += 1,
            }
        }
    }
    tally
}

#[test]
fn steps_of_random_networks_equal_their_twins() {
    let tally = compare(0..16);
    assert!(tally.left_out < 6 && tally.compared.len() > 3, "{tally:?}");
}

#[test]
#[ignore = "takes minutes: make soak"]
fn steps_of_a_thousand_random_networks_equal_their_twins() {
    let tally = compare(1_000..2_000);
    println!("1,000 networks: {tally:#?}");
    assert!(tally.left_out < 300);
    for variant in variants() {
        let seen = tally.compared.contains_key(variant.name);
        assert!(seen != tally.refused.contains(variant.name), "{}", variant.name);
    }
}
