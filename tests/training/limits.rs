//! What an adapter cannot hold is refused by the name of the tensor, before anything runs.

use l2rw::gpu::{Context, DeviceTensors, ElementType, Executable, GpuError, Recorder};
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::ops::{Rows, View, reduce};
use l2rw::train::{Examples, StepReport, TrainError, Trainer, TrainerOptions};
use l2rw::weighting::L2rw;

use crate::common::device;

const SHAPE: Shape = Shape { height: 8, width: 8, channels: 3 };
const EXAMPLES: usize = 6000;

/// The machine's adapter as if it held only this many bytes in a binding and in a buffer.
fn context(binding: u64, buffer: u64) -> Context {
    device::limited(wgpu::Limits {
        max_storage_buffer_binding_size: binding,
        max_buffer_size: buffer,
        ..wgpu::Limits::default()
    })
}

fn trainer(context: &Context, network: &Network, batch: usize) -> Result<Trainer, TrainError> {
    let pixels: Vec<u8> = (0..EXAMPLES * SHAPE.len()).map(|i| (i * i / 7 + i / 3) as u8).collect();
    let labels: Vec<u32> = (0..EXAMPLES as u32).map(|i| i % 4).collect();
    let set = Examples::new(&pixels, &labels, SHAPE);
    let options =
        TrainerOptions { batch, clean_batch: 8, ..TrainerOptions::cifar(L2rw::default()) };
    Trainer::new(context, network, set, Some(set), &options)
}

fn resnet() -> Network {
    let net = zoo::ResNet::cifar(8, Normalisation::batch()).unwrap().with_widths([4, 8, 8]);
    net.build("resnet8-w4", SHAPE, 4).unwrap()
}

/// A tensor that was refused.
#[derive(Debug, PartialEq)]
struct Refused {
    tensor: String,
    bytes: u64,
    limit: u64,
    limit_name: &'static str,
}

fn refusal(trainer: Result<Trainer, TrainError>) -> Refused {
    match trainer {
        Err(TrainError::Gpu(GpuError::TensorTooLarge { tensor, bytes, limit, limit_name })) => {
            Refused { tensor, bytes, limit, limit_name }
        }
        other => panic!("{other:?}"),
    }
}

const ROOM: u64 = 1 << 24;

#[test]
fn a_batch_beyond_a_binding_is_refused_by_the_name_of_a_tensor_of_that_batch() {
    let (network, batch, limit) = (resnet(), 400, 1 << 18);
    let refused = refusal(trainer(&context(limit, ROOM), &network, batch));
    assert_eq!(refused.limit_name, "max_storage_buffer_binding_size");
    assert_eq!(refused.limit, limit);
    assert!(refused.bytes > limit, "{refused:?}");
    let plan = trainer(&context(ROOM, ROOM), &network, batch).unwrap().plan().clone();
    let tensor = plan.recording.find(&refused.tensor).expect("the error names a tensor");
    assert!(plan.recording.tensor(tensor).bytes() >= refused.bytes, "{refused:?}");
    // A small batch of the same network fits.
    trainer(&context(limit, ROOM), &network, 16).unwrap();
}

#[test]
fn a_model_beyond_a_binding_or_a_buffer_is_refused_by_the_name_of_its_parameters() {
    let network = zoo::mlp(SHAPE, &[256], 4).unwrap();
    let refused = refusal(trainer(&context(1 << 17, ROOM), &network, 10));
    assert_eq!((refused.tensor.as_str(), refused.limit), ("parameters", 1 << 17));
    assert_eq!(refused.limit_name, "max_storage_buffer_binding_size");
    let expected = Refused {
        tensor: "parameters".into(),
        bytes: 4 * network.parameters_len as u64,
        limit: 1 << 17,
        limit_name: "max_buffer_size",
    };
    assert_eq!(refusal(trainer(&context(ROOM, 1 << 17), &network, 10)), expected);
}

#[test]
fn a_tensor_beyond_a_buffer_is_refused_by_name_although_its_bindings_fit() {
    let mut rec = Recorder::new();
    let x = rec.external("x", ElementType::F32, 64);
    let tensor = rec.transient("rows", 3 << 12);
    for row in 0..3 {
        let out = View { tensor, offset: row << 12, len: 64 };
        reduce::sum_rows(&mut rec, Rows::all(x, 64, 1), None, out);
    }
    let limit = 1 << 14;
    let executable =
        Executable::new(&context(limit, limit), rec.finish().unwrap(), &DeviceTensors::new());
    let error = executable.unwrap_err().to_string();
    assert!(error.contains("rows") && error.contains("max_buffer_size"), "{error}");
}

#[test]
fn what_just_fits_trains_as_on_a_device_with_room() {
    let network = resnet();
    let run = |mut trainer: Trainer| -> Vec<StepReport> {
        let step = |_| {
            trainer.step().unwrap();
            trainer.take_report(true).unwrap().unwrap()
        };
        (0..3).map(step).collect()
    };
    // Every refusal says how much was missing.
    let mut limit = 1 << 14;
    let tight = loop {
        match trainer(&context(limit, ROOM), &network, 64) {
            Ok(trainer) => break trainer,
            error => limit = refusal(error).bytes,
        }
    };
    assert!(limit > 1 << 14 && limit < ROOM);
    // The larger the limit, the fewer pieces of the data set.
    assert_eq!(run(tight), run(trainer(&context(ROOM, ROOM), &network, 64).unwrap()));
}
