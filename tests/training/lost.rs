//! A device that is lost in the middle: every call answers with a typed error.

use std::future::Future;

use l2rw::gpu::{Context, GpuError, ShaderChecks, read_back, read_back_async};
use l2rw::layer_weights::{LayerBatch, LayerShape, LayerTensors, LayerWeights, LayerWeightsError};
use l2rw::nn::{Network, Shape, zoo};
use l2rw::train::{
    BatchBuffers, Contents, EarlyStopping, Examples, Images, Iteration, Snapshot, TrainError,
    Trainer, TrainerOptions,
};
use l2rw::weighting::{L2rw, MetaWeightNet};

fn network() -> Network {
    zoo::mlp(Shape::new(1, 1, 8), &[16], 3).unwrap()
}

const N: usize = 12;

struct Data {
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Data {
    fn new() -> Self {
        let pixels = (0..8 * N).map(|i| (i * 37 % 251) as u8).collect();
        Self { pixels, labels: (0..N as u32).map(|i| i % 3).collect() }
    }

    fn set(&self) -> Examples<'_> {
        Examples::new(&self.pixels, &self.labels, Shape::new(1, 1, 8))
    }
}

fn options() -> TrainerOptions {
    let mean = vec![0.5; 8];
    TrainerOptions {
        batch: N,
        clean_batch: N,
        crop_pad: 0,
        flip: false,
        deviation: mean.clone(),
        mean,
        ..TrainerOptions::cifar(L2rw::default())
    }
}

/// Who hears of the loss.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// The crate, which opened the device.
    Crate,
    /// An application that tells the context, and has a handler for errors.
    Telling,
    /// An application that keeps it to itself.
    Silent,
}

const OWNERS: [Owner; 3] = [Owner::Crate, Owner::Telling, Owner::Silent];

fn open(owner: Owner) -> Context {
    if matches!(owner, Owner::Crate) {
        return Context::new(None).unwrap();
    }
    pollster::block_on(async {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::PRIMARY;
        let adapter = wgpu::Instance::new(descriptor)
            .request_adapter(&wgpu::RequestAdapterOptions::default())
            .await
            .unwrap();
        let descriptor = Context::device_descriptor(&adapter);
        let (device, queue) = adapter.request_device(&descriptor).await.unwrap();
        device.on_uncaptured_error(std::sync::Arc::new(|_| {}));
        let info = adapter.get_info();
        let context = Context::from_device(device, queue, info, ShaderChecks::default());
        if matches!(owner, Owner::Telling) {
            let told = context.clone();
            context.device.set_device_lost_callback(move |_, message| told.device_lost(message));
        }
        context
    })
}

/// Whether it says that the device is lost.
trait Answer {
    fn is_lost(&self) -> bool;
}

impl Answer for GpuError {
    fn is_lost(&self) -> bool {
        matches!(self, Self::DeviceLost { .. })
    }
}

impl Answer for TrainError {
    fn is_lost(&self) -> bool {
        matches!(self, Self::Gpu(error) if error.is_lost())
    }
}

impl Answer for LayerWeightsError {
    fn is_lost(&self) -> bool {
        matches!(self, Self::Gpu(error) if error.is_lost())
    }
}

fn assert_lost<T, E: Answer + std::fmt::Display>(what: &str, answer: Result<T, E>) {
    match answer {
        Ok(_) => panic!("{what}: no error on a lost device"),
        Err(error) => assert!(error.is_lost(), "{what}: {error}"),
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// Calls until one fails: the first ones after a loss may still have results to hand out.
fn until_lost<T, E: Answer + std::fmt::Display>(
    what: &str,
    mut call: impl FnMut() -> Result<T, E>,
) {
    let failed = (0..20).find_map(|_| call().err());
    let error = failed.unwrap_or_else(|| panic!("{what}: no error on a lost device"));
    assert!(error.is_lost(), "{what}: {error}");
    assert_lost(what, call());
}

/// What training goes on from.
fn kept(trainer: &Trainer) -> (Snapshot, Vec<u8>) {
    let file = trainer.model().to_safetensors(Contents::Checkpoint);
    (trainer.snapshot().unwrap(), file.unwrap())
}

#[test]
fn a_trainer_says_that_its_device_is_lost() {
    let (data, network) = (Data::new(), network());
    for owner in OWNERS {
        for blocking in [true, false] {
            let context = open(owner);
            let options =
                TrainerOptions { weighting: MetaWeightNet::default().into(), ..options() };
            let mut trainer =
                Trainer::new(&context, &network, data.set(), Some(data.set()), &options).unwrap();
            let mut evaluation = trainer.evaluation(data.set(), 5).unwrap();
            for _ in 0..6 {
                trainer.step().unwrap();
            }
            let (snapshot, file) = kept(&trainer);
            context.device.destroy();
            let what = |call: &str| format!("{call}, {owner:?}, blocking: {blocking}");
            match blocking {
                true => until_lost(&what("step"), || trainer.step()),
                false => until_lost(&what("step"), || wait(trainer.step_async())),
            }
            let contents = Contents::Checkpoint;
            assert_lost(&what("load"), trainer.model_mut().load_safetensors(&file, contents));
            assert_lost(&what("restore"), trainer.restore(&snapshot));
            let early = || EarlyStopping::new();
            let (labels, losses) = (&data.labels, vec![0.0; N]);
            match blocking {
                true => {
                    assert_lost(&what("snapshot"), trainer.snapshot());
                    assert_lost(&what("state"), trainer.weighting_state("theta"));
                    assert_lost(&what("early"), early().observe(&trainer, labels, &losses, labels));
                    let folder = tempfile::tempdir().unwrap();
                    assert_lost(&what("save"), trainer.save(&folder.path().join("a")));
                    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
                    assert_lost(&what("scores"), evaluation.scores());
                    assert_lost(&what("evaluation"), trainer.evaluation(data.set(), 5));
                    assert_lost(&what("profile"), trainer.profile());
                }
                false => {
                    let model = trainer.model();
                    assert_lost(&what("snapshot"), wait(model.snapshot_async()));
                    assert_lost(&what("state"), wait(model.weighting_state_async("theta")));
                    assert_lost(&what("file"), wait(model.to_safetensors_async(contents)));
                    let mut early = early();
                    let observed = early.observe_async(&trainer, labels, &losses, labels);
                    assert_lost(&what("early"), wait(observed));
                    assert_lost(&what("scores"), wait(evaluation.scores_async()));
                    assert_lost(&what("evaluation"), wait(model.evaluation_async(data.set(), 5)));
                }
            }
            let new = Trainer::new(&context, &network, data.set(), Some(data.set()), &options);
            assert_lost(&what("new"), new);
        }
    }
}

#[test]
fn batches_from_the_host_and_from_buffers_say_so_too() {
    let (data, network) = (Data::new(), network());
    for owner in OWNERS {
        let context = open(owner);
        let mut trainer = Trainer::for_batches(&context, &network, &options()).unwrap();
        let mut iteration = Iteration::new(&context, &network, &options()).unwrap();
        let storage = wgpu::BufferUsages::STORAGE;
        let images = wait(context.upload("images", &data.pixels, storage)).unwrap();
        let labels = bytemuck::cast_slice(&data.labels);
        let labels = wait(context.upload("labels", labels, storage)).unwrap();
        let batch =
            BatchBuffers { images: Images::Bytes(images.slice(..)), labels: labels.slice(..) };
        let mut encode = || {
            let mut encoder = context.device.create_command_encoder(&Default::default());
            iteration.encode(&mut encoder, batch, Some(batch))?;
            context.submit(encoder);
            let weights = iteration.outputs().weights;
            Ok::<_, TrainError>(read_back(&context, weights, 4 * N as u64)?)
        };
        encode().unwrap();
        trainer.step_on(data.set(), Some(data.set())).unwrap();
        context.device.destroy();
        let what = |call: &str| format!("{call}, {owner:?}");
        until_lost(&what("encode"), encode);
        until_lost(&what("step_on"), || trainer.step_on(data.set(), Some(data.set())));
        until_lost(&what("step_on"), || wait(trainer.step_on_async(data.set(), Some(data.set()))));
        assert_lost(&what("for_batches"), Trainer::for_batches(&context, &network, &options()));
        assert_lost(&what("iteration"), Iteration::new(&context, &network, &options()));
        assert_lost(&what("read-back"), read_back(&context, &images, 4));
        assert_lost(&what("read-back"), wait(read_back_async(&context, &images, 4)));
        let layers = [LayerTensors {
            name: "only",
            layer: LayerShape::Bias { positions: 1, channels: 2 },
            train: LayerBatch { input: None, output_gradient: images.slice(..) },
            clean: LayerBatch { input: None, output_gradient: images.slice(..) },
        }];
        assert_lost(&what("layer weights"), LayerWeights::new(&context, N, N, &layers));
    }
}

#[test]
fn what_is_awaited_moves_between_threads() {
    fn assert_send<T: Send>(_: &T) {}
    let (data, network) = (Data::new(), network());
    let context = Context::new(None).unwrap();
    let options = options();
    let new = Trainer::new_async(&context, &network, data.set(), Some(data.set()), &options);
    assert_send(&new);
    let mut trainer = wait(new).unwrap();
    assert_send(&trainer.step_async());
    assert_send(&trainer.take_report_async());
    assert_send(&trainer.model().snapshot_async());
    let mut evaluation = trainer.evaluation(data.set(), 5).unwrap();
    assert_send(&evaluation.scores_async());
}
