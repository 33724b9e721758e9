//! Reweighting inside other programs: the application's device, encoder, buffers and engine.

use crate::common::device::{context, own_context};
use crate::common::steps::drain;
use crate::common::values;
use l2rw::gpu::{Context, GpuError, ShaderChecks, Tuning, read_back};
use l2rw::nn::{Network, Normalisation, Padding, Shape};
use l2rw::plan::{Input, Optimizer, TrainingOptions, training};
use l2rw::train::{
    BatchBuffers, Contents, Examples, Images, Iteration, StepReport, TrainError, Trainer,
    TrainerOptions,
};
use l2rw::weighting::Uniform;

pub(super) const N: usize = 6;
pub(super) const M: usize = 4;

/// Convolution with bias, GroupNorm, strided convolution, linear layer.
pub(super) fn network() -> Network {
    let mut b = Network::builder("embedded", Shape::new(7, 9, 3));
    let mut x = b.input();
    x = b.conv("conv1", x, 8, 3, 1, Padding::Same, true);
    x = b.relu("relu1", x);
    x = b.norm("norm", x, Normalisation::group(4));
    x = b.conv("conv2", x, 6, 3, 2, Padding::Zeros(1), false);
    x = b.relu("relu2", x);
    b.linear("fc", x, 5);
    b.build().unwrap()
}

pub(super) fn options() -> TrainerOptions {
    TrainerOptions { batch: N, clean_batch: M, ..TrainerOptions::plain(3) }
}

/// Images and labels of a batch of `n`.
pub(super) fn host_batch(tag: u32, n: usize) -> (Vec<u8>, Vec<u32>) {
    let bytes = (0..n * network().input().len()).map(|i| {
        let value = values::uniform(tag, i as u32);
        ((value + 1.0) * 127.9) as u8
    });
    (bytes.collect(), (0..n as u32).map(|i| (i * i + tag) % 5).collect())
}

fn set<'a>((images, labels): &'a (Vec<u8>, Vec<u32>)) -> Examples<'a> {
    Examples::new(images, labels, network().input())
}

/// A buffer that can be bound as storage and nothing else: no copy to or from the host, nor to any
/// other buffer, is possible once it is filled.
pub(super) fn storage_only(context: &Context, content: &[u8]) -> wgpu::Buffer {
    let buffer = context.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("the application's"),
        size: content.len().next_multiple_of(4) as u64,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: true,
    });
    let padded: Vec<u8> = content.iter().copied().chain([0; 3]).collect();
    let size = buffer.size() as usize;
    buffer.get_mapped_range_mut(..).unwrap().slice(..).copy_from_slice(&padded[..size]);
    buffer.unmap();
    buffer
}

/// `content` behind `before` bytes that would be noticed.
fn behind(before: usize, content: &[u8]) -> Vec<u8> {
    [vec![0xEE; before], content.to_vec()].concat()
}

pub(super) fn floats(context: &Context, buffer: &wgpu::Buffer, len: usize) -> Vec<f32> {
    let words = read_back(context, buffer, 4 * len as u64).unwrap();
    words.into_iter().map(f32::from_bits).collect()
}

/// Weights of each step and parameters after the last of a trainer on batches from the host.
fn steps_of_a_trainer(steps: u32) -> (Vec<StepReport>, Vec<u8>) {
    let context = context(ShaderChecks::Trusted);
    let mut trainer = Trainer::for_batches(context, &network(), &options()).unwrap();
    let mut reports = Vec::new();
    for step in 0..steps {
        let (train, clean) = (host_batch(2 * step, N), host_batch(2 * step + 1, M));
        reports.extend(trainer.step_on(set(&train), Some(set(&clean))).unwrap());
    }
    drain(&mut trainer, &mut reports);
    (reports, trainer.model().to_safetensors(Contents::Checkpoint).unwrap())
}

/// Three iterations in one encoder, images of the last as floats if asked for.
fn encoded_iterations(last_as_floats: bool) -> Iteration {
    let context = context(ShaderChecks::Trusted);
    let own = own_context();
    let mut iteration = Iteration::new(&own, &network(), &options()).unwrap();
    let before = own.submissions();
    let mut encoder = context.device.create_command_encoder(&Default::default());
    for step in 0..3u32 {
        let bound = |tag, n, before: usize| {
            let (images, labels) = host_batch(tag, n);
            let floats: Vec<f32> = images.iter().map(|byte| f32::from(*byte) / 255.0).collect();
            let images = match last_as_floats && step == 2 {
                true => behind(before / 4 * 4, bytemuck::cast_slice(&floats)),
                false => behind(before, &images),
            };
            let labels = behind(4 * before, bytemuck::cast_slice(&labels));
            (storage_only(context, &images), storage_only(context, &labels), before as u64)
        };
        let train = bound(2 * step, N, 1 + 300 * step as usize);
        let clean = bound(2 * step + 1, M, 259 - step as usize);
        let as_floats = last_as_floats && step == 2;
        let (train, clean) = (batch(&train, as_floats), batch(&clean, as_floats));
        iteration.encode(&mut encoder, train, Some(clean)).unwrap();
    }
    assert_eq!(own.submissions(), before, "the iteration submits nothing itself");
    context.queue.submit([encoder.finish()]);
    iteration
}

#[test]
fn iterations_in_the_applications_encoder_equal_the_trainers_steps_from_any_offset() {
    let context = context(ShaderChecks::Trusted);
    let (reports, expected) = steps_of_a_trainer(3);
    let last = reports.last().unwrap();
    let iteration = encoded_iterations(false);
    let outputs = iteration.outputs();
    assert_eq!(floats(context, outputs.weights, N), last.weights);
    assert_eq!(floats(context, outputs.similarities.unwrap(), N), last.similarities);
    assert_eq!(floats(context, outputs.losses, N), last.losses);
    assert_eq!(floats(context, outputs.clean_losses.unwrap(), M), last.clean_losses);
    assert!(last.weights.iter().any(|w| *w > 0.0));
    assert!(iteration.model().to_safetensors(Contents::Checkpoint).unwrap() == expected);
    // The host's division is not the device's, which may round otherwise.
    let iteration = encoded_iterations(true);
    let found = floats(context, iteration.outputs().weights, N);
    let apart = found.iter().zip(&last.weights).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) < 1e-5, "{found:?}, expected {:?}", last.weights);
}

type Bound = (wgpu::Buffer, wgpu::Buffer, u64);

fn batch((images, labels, before): &Bound, as_floats: bool) -> BatchBuffers<'_> {
    let images = match as_floats {
        true => Images::Floats(images.slice(before / 4 * 4..)),
        false => Images::Bytes(images.slice(before..)),
    };
    BatchBuffers { images, labels: labels.slice(4 * before..) }
}

#[test]
fn an_iteration_in_slices_equals_the_whole_one() {
    let context = context(ShaderChecks::Trusted);
    let (reports, expected) = steps_of_a_trainer(2);
    let mut iteration = Iteration::new(context, &network(), &options()).unwrap();
    for step in 0..2u32 {
        let bound = |tag, n| {
            let (images, labels) = host_batch(tag, n);
            let labels = storage_only(context, bytemuck::cast_slice(&labels));
            (storage_only(context, &images), labels, 0)
        };
        let (train, clean) = (bound(2 * step, N), bound(2 * step + 1, M));
        let (train, clean) = (batch(&train, false), batch(&clean, false));
        // So little that every group of dispatches is a slice.
        let limit = std::time::Duration::from_nanos(1);
        let mut slices = iteration.slices(train, Some(clean), limit).unwrap();
        let count = slices.remaining();
        assert!(count > 10, "{count} slices");
        // A frame of the application each.
        for frame in 1..=count {
            assert_eq!(iteration.model().steps(), u64::from(step), "not counted before its end");
            let mut encoder = context.device.create_command_encoder(&Default::default());
            assert_eq!(iteration.encode_slice(&mut encoder, &mut slices), frame < count);
            context.queue.submit([encoder.finish()]);
        }
        assert_eq!(iteration.model().steps(), u64::from(step) + 1);
    }
    let weights = floats(context, iteration.outputs().weights, N);
    assert_eq!(weights, reports.last().unwrap().weights);
    assert!(iteration.model().to_safetensors(Contents::Checkpoint).unwrap() == expected);
}

#[test]
fn batches_that_do_not_fit_are_refused_by_what_is_wrong_and_no_step_is_taken() {
    let context = context(ShaderChecks::Trusted);
    let mut iteration = Iteration::new(context, &network(), &options()).unwrap();
    let image = network().input().len();
    let images = storage_only(context, &vec![1; (N + 1) * image]);
    let labels = storage_only(context, &[0; 64]);
    let readable = context.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: images.size(),
        usage: wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    let good = BatchBuffers { images: Images::Bytes(images.slice(..)), labels: labels.slice(..) };
    let mut refused = |train: BatchBuffers<'_>, clean: Option<BatchBuffers<'_>>| {
        let mut encoder = context.device.create_command_encoder(&Default::default());
        iteration.encode(&mut encoder, train, clean).unwrap_err().to_string()
    };
    let message = refused(good, None);
    assert!(message.contains("clean"), "{message}");
    let short = Images::Bytes(images.slice(image as u64 + 4..));
    let message = refused(BatchBuffers { images: short, ..good }, Some(good));
    assert!(
        message.contains("training") && message.contains(&(N * image).to_string()),
        "{message}"
    );
    let message = refused(good, Some(BatchBuffers { labels: labels.slice(2..), ..good }));
    assert!(message.contains("clean") && message.contains("multiple of 4"), "{message}");
    let message =
        refused(BatchBuffers { images: Images::Bytes(readable.slice(..)), ..good }, Some(good));
    assert!(message.contains("training images") && message.contains("STORAGE"), "{message}");
    assert_eq!(iteration.model().steps(), 0);
}

#[test]
fn a_trainer_on_batches_refuses_those_of_another_size() {
    let context = context(ShaderChecks::Trusted);
    let mut trainer = Trainer::for_batches(context, &network(), &options()).unwrap();
    let (train, clean) = (host_batch(1, N), host_batch(2, M));
    let message = trainer.step_on(set(&clean), Some(set(&clean))).unwrap_err().to_string();
    assert!(message.contains("expected 6"), "{message}");
    let message = trainer.step_on(set(&train), None).unwrap_err().to_string();
    assert!(message.contains("clean"), "{message}");
    assert!(matches!(trainer.step(), Err(TrainError::Dataset { .. })));
    assert_eq!(trainer.steps(), 0);
}

/// One step of an iteration on batches in the application's buffers: the weights.
pub(super) fn weights_of_a_step(
    context: &Context,
    options: &TrainerOptions,
) -> Result<Vec<f32>, TrainError> {
    let mut iteration = Iteration::new(context, &network(), options)?;
    let bound = |tag, n| {
        let (images, labels) = host_batch(tag, n);
        (storage_only(context, &images), storage_only(context, bytemuck::cast_slice(&labels)), 0)
    };
    let (train, clean) = (bound(1, N), bound(2, M));
    let clean = options.weighting.uses_clean_set().then(|| batch(&clean, false));
    let mut encoder = context.device.create_command_encoder(&Default::default());
    iteration.encode(&mut encoder, batch(&train, false), clean)?;
    context.queue.submit([encoder.finish()]);
    Ok(floats(context, iteration.outputs().weights, N))
}

#[test]
fn a_snapshot_and_a_checkpoint_after_it_carry_what_adamw_remembers() {
    let context = context(ShaderChecks::Trusted);
    let trainer = |optimizer| {
        let options = TrainerOptions { optimizer, ..options() };
        Trainer::for_batches(context, &network(), &options).unwrap()
    };
    let (train, clean) = (host_batch(1, N), host_batch(2, M));
    let step = |trainer: &mut Trainer| {
        trainer.step_on(set(&train), Some(set(&clean))).unwrap();
        trainer.take_report(true).unwrap();
        trainer.model().to_safetensors(Contents::Parameters).unwrap()
    };
    let mut first = trainer(Optimizer::ADAMW);
    for _ in 0..3 {
        step(&mut first);
    }
    let snapshot = first.snapshot().unwrap();
    let expected = [step(&mut first), step(&mut first)];

    // Its own steps begin anew, those behind the moments do not.
    let mut second = trainer(Optimizer::ADAMW);
    second.restore(&snapshot).unwrap();
    assert_eq!(second.steps(), 0);
    assert_eq!(step(&mut second), expected[0]);
    let checkpoint = second.model().to_safetensors(Contents::Checkpoint).unwrap();
    let mut third = trainer(Optimizer::ADAMW);
    third.model_mut().load_safetensors(&checkpoint, Contents::Checkpoint).unwrap();
    assert_eq!(third.steps(), 1);
    assert_eq!(step(&mut third), expected[1]);

    let mut other = trainer(Optimizer::Sgd { momentum: 0.9, nesterov: false });
    let before = other.model().to_safetensors(Contents::Checkpoint).unwrap();
    let error = other.restore(&snapshot).unwrap_err().to_string();
    assert!(error.contains("second_moment"), "{error}");
    assert_eq!(other.model().to_safetensors(Contents::Checkpoint).unwrap(), before);
}

#[test]
fn trainers_share_a_device_from_threads_of_their_own() {
    let expected = steps_of_a_trainer(4);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(|| steps_of_a_trainer(4))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|outcome| *outcome == expected));
}

#[test]
fn a_trainer_goes_on_in_another_thread() {
    let context = context(ShaderChecks::Trusted);
    let (train, clean) = (host_batch(1, N), host_batch(2, M));
    let run = |moved: bool| {
        let mut trainer = Trainer::for_batches(context, &network(), &options()).unwrap();
        let step = |mut trainer: Trainer| {
            trainer.step_on(set(&train), Some(set(&clean))).unwrap();
            trainer
        };
        trainer = step(trainer);
        trainer = match moved {
            true => std::thread::scope(|scope| scope.spawn(|| step(trainer)).join().unwrap()),
            false => step(trainer),
        };
        let mut reports = Vec::new();
        drain(&mut trainer, &mut reports);
        reports
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn nothing_blocks_in_the_async_forms_and_results_are_the_same() {
    let (expected, bytes) = steps_of_a_trainer(6);
    let context = context(ShaderChecks::Trusted);
    let found = pollster::block_on(async {
        let mut trainer =
            Trainer::for_batches_async(context, &network(), &options()).await.unwrap();
        let mut reports = Vec::new();
        for step in 0..6 {
            let (train, clean) = (host_batch(2 * step, N), host_batch(2 * step + 1, M));
            reports.extend(trainer.step_on_async(set(&train), Some(set(&clean))).await.unwrap());
        }
        while let Some(report) = trainer.take_report_async().await.unwrap() {
            reports.push(report);
        }
        let bytes = trainer.model().to_safetensors_async(Contents::Checkpoint).await.unwrap();
        (reports, bytes)
    });
    assert_eq!(found.0, expected);
    assert!(found.1 == bytes);
}

/// Bytes of all live buffers of a device of its own, by the account that wgpu's allocator for
/// Vulkan and DirectX 12 keeps.
fn allocated(context: &Context) -> Option<u64> {
    context.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let report = context.device.generate_allocator_report();
    let has_allocator =
        matches!(context.adapter.backend, wgpu::Backend::Vulkan | wgpu::Backend::Dx12);
    assert_eq!(report.is_some(), has_allocator, "{}", context.describe());
    report.map(|report| report.total_allocated_bytes)
}

#[test]
fn the_memory_that_a_plan_foretells_is_what_is_allocated() {
    // A device of its own: other tests allocate on the shared one at the same time.
    let context = Context::new(None).unwrap();
    let mut b = Network::builder("wide", Shape::new(16, 16, 3));
    let mut x = b.input();
    x = b.conv("conv", x, 32, 3, 1, Padding::Same, true);
    x = b.relu("relu", x);
    x = b.linear("fc1", x, 64);
    b.linear("fc2", x, 10);
    let network = b.build().unwrap();
    let options = TrainerOptions { batch: 32, clean_batch: 16, ..TrainerOptions::plain(3) };
    let images: Vec<u8> = vec![7; 64 * 16 * 16 * 3];
    let labels: Vec<u32> = (0..64).map(|i| i % 10).collect();
    let set = Examples::new(&images, &labels, network.input());
    let before = allocated(&context);
    let mut trainer = Trainer::new(&context, &network, set, Some(set), &options).unwrap();
    trainer.step().unwrap();
    trainer.take_report(true).unwrap();
    assert!(trainer.memory_bytes() > trainer.plan().memory_bytes());
    let (Some(before), Some(after)) = (before, allocated(&context)) else {
        eprintln!("{}: nobody counts what is allocated: not checked", context.describe());
        return;
    };
    let (found, foretold) = (after - before, trainer.memory_bytes());
    // What the allocator adds: buffers are rounded up, and the driver keeps a little of its own.
    let buffers = trainer.plan().recording.tensors.len() as u64;
    let slack = found.abs_diff(foretold);
    assert!(slack <= 256 * buffers + 65_536, "{found} bytes allocated, {foretold} foretold");
    assert!(slack * 50 < foretold, "{found} bytes allocated, {foretold} foretold");
}

#[test]
fn a_plan_beyond_the_limits_names_the_tensor_before_anything_is_allocated() {
    let network = network();
    let plan = training(
        &network,
        &TrainingOptions {
            batch: 4000,
            clean_batch: 1000,
            weighting: Uniform.into(),
            optimizer: Optimizer::ADAMW,
            tuning: Tuning::default(),
            input: Input::Buffers,
        },
    )
    .unwrap();
    let limits = |max_buffer_size, max_storage_buffer_binding_size| wgpu::Limits {
        max_buffer_size,
        max_storage_buffer_binding_size,
        ..wgpu::Limits::default()
    };
    assert!(plan.recording.check_limits(&wgpu::Limits::default()).is_ok());
    let conv1 = 4 * 4000 * 7 * 9 * 8;
    let error = plan.recording.check_limits(&limits(1 << 28, conv1 - 1)).unwrap_err();
    assert!(matches!(&error, GpuError::TensorTooLarge { tensor, bytes, .. }
        if tensor.contains("conv1") && *bytes == conv1));
    let message = plan.recording.check_limits(&limits(conv1 - 1, 1 << 27)).unwrap_err().to_string();
    assert!(message.contains("conv1") && message.contains("max_buffer_size"), "{message}");
}

#[test]
fn a_device_with_the_applications_features_and_limits_works() {
    let shared = context(ShaderChecks::Trusted);
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let mut descriptor = Context::device_descriptor(&adapter);
    descriptor.required_features |= adapter.features() & wgpu::Features::FLOAT32_FILTERABLE;
    descriptor.required_limits.max_bind_groups = 4;
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let own = Context::from_device(device, queue, adapter.get_info(), ShaderChecks::Trusted);
    assert_eq!(own.adapter.name, shared.adapter.name);
    let mut trainer = Trainer::for_batches(&own, &network(), &options()).unwrap();
    let (train, clean) = (host_batch(0, N), host_batch(1, M));
    trainer.step_on(set(&train), Some(set(&clean))).unwrap();
    let report = trainer.take_report(true).unwrap().unwrap();
    assert_eq!(report, steps_of_a_trainer(1).0[0]);
}
