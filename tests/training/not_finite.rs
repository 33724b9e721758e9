//! Numbers that are not finite: named within the ring's length of steps, and never followed.

use l2rw::gpu::{Context, ShaderChecks, read_back};
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::train::{
    BatchBuffers, Contents, Examples, Images, Iteration, NotFinite, Schedule, TrainError, Trainer,
    TrainerOptions,
};
use l2rw::weighting::{L2rw, MetaWeightNet, Uniform, Weighting};
use safetensors::{SafeTensors, tensor::TensorView};

use crate::common::device::context;
use crate::common::steps::run;

const N: usize = 12;
/// Steps until a report must have come in.
const RING: u64 = 4;

fn network() -> Network {
    let net = zoo::ResNet::cifar(8, Normalisation::batch()).unwrap().with_widths([4, 8, 8]);
    net.build("resnet8-w4", Shape::new(8, 8, 3), 4).unwrap()
}

fn options(weighting: impl Into<Weighting>, not_finite: NotFinite) -> TrainerOptions {
    TrainerOptions {
        batch: N,
        clean_batch: N,
        crop_pad: 0,
        flip: false,
        not_finite,
        ..TrainerOptions::cifar(weighting)
    }
}

fn trainer(options: &TrainerOptions) -> Trainer {
    let network = network();
    let pixels: Vec<u8> = (0..40 * 192).map(|i| (i * 2_654_435 % 251) as u8).collect();
    let labels: Vec<u32> = (0..40).map(|i| i % 4).collect();
    let set = Examples::new(&pixels, &labels, network.input());
    let clean = options.weighting.uses_clean_set().then_some(set);
    Trainer::new(context(ShaderChecks::Trusted), &network, set, clean, options).unwrap()
}

/// Reports until the first error, and the steps submitted by then.
fn first_error(trainer: &mut Trainer) -> (TrainError, u64) {
    let begun = trainer.steps();
    for _ in 0..20 {
        if let Err(error) = trainer.step() {
            return (error, trainer.steps() - begun);
        }
    }
    panic!("no error in 20 steps");
}

/// Puts a NaN into the first number of a tensor, by a file without a checksum.
fn spoil(trainer: &mut Trainer, name: &str) {
    let bytes = trainer.model().to_safetensors(Contents::Parameters).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut spoilt = file.tensor(name).unwrap().data().to_vec();
    spoilt[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let views = file.tensors().into_iter().map(|(own, view)| {
        let data = if own == name { &spoilt } else { view.data() };
        let view = TensorView::new(view.dtype(), view.shape().to_vec(), data).unwrap();
        (own, view)
    });
    let bytes = safetensors::serialize(views, None).unwrap();
    trainer.model_mut().load_safetensors(&bytes, Contents::Parameters).unwrap();
}

fn parameters(trainer: &Trainer) -> Vec<u8> {
    trainer.model().to_safetensors(Contents::Parameters).unwrap()
}

#[test]
fn a_parameter_and_a_running_statistic_are_named_with_their_tensor() {
    for weighting in
        [Weighting::from(L2rw::default()), Uniform.into(), MetaWeightNet::default().into()]
    {
        let any = trainer(&options(weighting.clone(), NotFinite::Stop));
        let bytes = parameters(&any);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let named = |end: &str| {
            let mut names = file.names();
            names.sort();
            names.into_iter().find(|name| name.ends_with(end)).unwrap().to_owned()
        };
        let (weight, variance) = (named("conv1.weight"), named("running_var"));
        for (name, words) in [
            (&weight, format!("a parameter of {weight}")),
            (&variance, format!("a running statistic, {variance}")),
        ] {
            let mut trainer = trainer(&options(weighting.clone(), NotFinite::Stop));
            for _ in 0..5 {
                trainer.step().unwrap();
            }
            while trainer.take_report(true).unwrap().is_some() {}
            spoil(&mut trainer, name);
            let (error, steps) = first_error(&mut trainer);
            let text = error.to_string();
            assert!(steps <= RING, "{steps} steps until: {text}");
            assert!(matches!(error, TrainError::NotFinite { step: 5, .. }), "{text}");
            assert!(text.contains(&words), "{text}");
        }
    }
}

#[test]
fn a_rate_that_is_far_too_high_stops_before_parameters_are_lost() {
    let weighting = Weighting::from(Uniform);
    let high =
        TrainerOptions { schedule: Schedule::constant(1e6), ..options(weighting, NotFinite::Stop) };
    let mut trainer = trainer(&high);
    let (error, _) = first_error(&mut trainer);
    let TrainError::NotFinite { step, .. } = error else { panic!("{error}") };
    assert!(trainer.steps() - step <= RING + 1, "found at {step}, told at {}", trainer.steps());
    let kept = parameters(&trainer);
    let file = SafeTensors::deserialize(&kept).unwrap();
    for name in file.names() {
        let words = file.tensor(name).unwrap();
        let finite = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite();
        assert!(words.data().chunks(4).all(finite), "{name} is not finite");
    }
    // It stays so until other parameters are loaded.
    assert!(trainer.take_report(true).is_err());
    assert_eq!(parameters(&trainer), kept);
}

#[test]
fn steps_are_left_out_and_said_to_be() {
    let mut trainer = trainer(&options(L2rw::default(), NotFinite::SkipStep));
    let good = parameters(&trainer);
    spoil(&mut trainer, "fc.weight");
    let spoilt = parameters(&trainer);
    let left_out = run(&mut trainer, 6);
    assert_eq!(left_out.len(), 6);
    assert!(left_out.iter().all(|r| !r.not_finite.is_empty() && !r.is_zero_weight()));
    // Running statistics went on, as they do without a step; nothing else did.
    let now = parameters(&trainer);
    let (now, spoilt) =
        (SafeTensors::deserialize(&now).unwrap(), SafeTensors::deserialize(&spoilt).unwrap());
    for name in now.names().into_iter().filter(|name| !name.contains("running")) {
        let (now, spoilt) = (now.tensor(name).unwrap(), spoilt.tensor(name).unwrap());
        assert_eq!(now.data(), spoilt.data(), "{name}");
    }
    trainer.model_mut().load_safetensors(&good, Contents::Parameters).unwrap();
    assert!(run(&mut trainer, 3).iter().all(|report| report.not_finite.is_empty()));
    assert_ne!(parameters(&trainer), good);
}

/// A batch of floats of which one example may have a pixel that is not finite.
struct Batch {
    images: wgpu::Buffer,
    labels: wgpu::Buffer,
}

impl Batch {
    fn new(context: &Context, pixel: Option<(usize, f32)>) -> Self {
        let mut images: Vec<f32> =
            (0..N * 192).map(|i| (i * 7_919 % 509) as f32 / 256.0 - 1.0).collect();
        if let Some((example, value)) = pixel {
            images[example * 192 + 100] = value;
        }
        let labels: Vec<u32> = (0..N as u32).map(|i| i % 4).collect();
        let upload = |label, bytes: &[u8]| {
            let upload = context.upload(label, bytes, wgpu::BufferUsages::STORAGE);
            pollster::block_on(upload).unwrap()
        };
        Self {
            images: upload("images", bytemuck::cast_slice(&images)),
            labels: upload("labels", bytemuck::cast_slice(&labels)),
        }
    }

    fn buffers(&self) -> BatchBuffers<'_> {
        BatchBuffers {
            images: Images::Floats(self.images.slice(..)),
            labels: self.labels.slice(..),
        }
    }
}

/// One step; whether something was not finite, the losses and the parameters after it.
fn step(context: &Context, iteration: &mut Iteration, batch: &Batch, clean: &Batch) -> Stepped {
    let mut encoder = context.device.create_command_encoder(&Default::default());
    iteration.encode(&mut encoder, batch.buffers(), Some(clean.buffers())).unwrap();
    context.submit(encoder);
    let outputs = iteration.outputs();
    let read = |buffer: &wgpu::Buffer| read_back(context, buffer, buffer.size()).unwrap();
    let floats = |buffer: &wgpu::Buffer| -> Vec<f32> {
        let words = read_back(context, buffer, 4 * N as u64).unwrap();
        words.into_iter().map(f32::from_bits).collect()
    };
    Stepped {
        found: read(outputs.not_finite)[0] != 0,
        losses: floats(outputs.losses),
        weights: floats(outputs.weights),
        parameters: read(iteration.model().parameters().unwrap()),
    }
}

struct Stepped {
    found: bool,
    losses: Vec<f32>,
    weights: Vec<f32>,
    parameters: Vec<u32>,
}

#[test]
fn a_pixel_that_is_not_finite_spoils_no_parameter() {
    let context = context(ShaderChecks::Trusted);
    let good = Batch::new(context, None);
    for value in [f32::NAN, f32::INFINITY] {
        let bad = Batch::new(context, Some((3, value)));
        for (policy, train, clean) in [
            (NotFinite::Stop, &bad, &good),
            (NotFinite::Stop, &good, &bad),
            (NotFinite::SkipStep, &bad, &good),
        ] {
            let options = options(L2rw::default(), policy);
            let mut iteration = Iteration::new(context, &network(), &options).unwrap();
            let first = step(context, &mut iteration, &good, &good);
            assert!(!first.found);
            let spoilt = step(context, &mut iteration, train, clean);
            assert!(spoilt.found, "{value}, {policy:?}");
            assert_eq!(spoilt.parameters, first.parameters, "{value}, {policy:?}");
            let after = step(context, &mut iteration, &good, &good);
            assert!(after.losses.iter().all(|loss| loss.is_finite()));
            let goes_on = after.parameters != first.parameters;
            assert_eq!(goes_on, policy == NotFinite::SkipStep, "{value}, {policy:?}");
        }
    }
}

#[test]
fn an_example_that_is_not_finite_is_left_out_and_the_others_are_learned_from() {
    let context = context(ShaderChecks::Trusted);
    let good = Batch::new(context, None);
    for value in [f32::NAN, f32::NEG_INFINITY] {
        let bad = Batch::new(context, Some((3, value)));
        for (train, clean) in [(&bad, &good), (&good, &bad)] {
            let options = options(L2rw::default(), NotFinite::DropExample);
            let mut iteration = Iteration::new(context, &network(), &options).unwrap();
            let first = step(context, &mut iteration, &good, &good);
            let second = step(context, &mut iteration, train, clean);
            assert!(!second.found, "{value}: {:?}", second.losses);
            assert_ne!(second.parameters, first.parameters);
            assert!(second.losses.iter().all(|loss| loss.is_finite()));
            if std::ptr::eq(train, &bad) {
                assert_eq!((second.losses[3], second.weights[3]), (0.0, 0.0));
            }
        }
    }
}

#[test]
fn a_step_on_batches_reports_the_examples_that_were_left_out() {
    let context = context(ShaderChecks::Trusted);
    let network = network();
    let options = options(L2rw::default(), NotFinite::DropExample);
    let (n, shape) = (options.batch.max(options.clean_batch), network.input());
    let mut values = vec![0.25; n * shape.len()];
    values[3 * shape.len() + 1] = f32::NAN;
    let labels = vec![1; n];
    let batch = |len: usize| Examples::new(&values[..len * shape.len()], &labels[..len], shape);
    let mut trainer = Trainer::for_batches(context, &network, &options).unwrap();
    trainer.step_on(batch(options.batch), Some(batch(options.clean_batch))).unwrap();
    let report = trainer.take_report(true).unwrap().unwrap();
    assert_eq!((&report.ignored[..], &report.clean_ignored[..]), (&[3][..], &[3][..]));
    assert!(!report.is_skipped() && report.loss().is_finite());
}
