//! One step on made-up data, the same in the browser and natively.

use l2rw::gpu::{Context, Tuning};
use l2rw::nn::{Normalisation, Shape, zoo::ResNet};
use l2rw::train::{Examples, Trainer, TrainerOptions};
use serde::Serialize;

use crate::Failure;

/// u and w of one step.
#[derive(Clone, Debug, Serialize)]
pub struct Fixture {
    /// The adapter.
    pub adapter: String,
    /// Dispatches of the step that stage their factors in workgroup memory, and all.
    pub staged: (usize, usize),
    /// u, `[n]`.
    pub similarities: Vec<f32>,
    /// w, `[n]`.
    pub weights: Vec<f32>,
}

/// Takes one step of a ResNet-8 with batch statistics and 64, 128 and 256 channels.
///
/// # Errors
/// When the device refuses.
pub async fn run(context: &Context) -> Result<Fixture, Failure> {
    // Whatever the adapter: kernels through workgroup memory are what browsers may refuse.
    let context = &context.clone().with_tuning(Tuning::GPU);
    let (shape, n) = (Shape::new(16, 16, 3), 16);
    let net = ResNet::cifar(8, Normalisation::batch())?.with_widths([64, 128, 256]);
    let network = net.build("resnet8-w64", shape, 10)?;
    let byte = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8;
    let images: Vec<u8> = (0..2 * n * shape.len()).map(byte).collect();
    let labels: Vec<u32> = (0..2 * n as u32).map(|i| i * 7 % 10).collect();
    let (train_images, clean_images) = images.split_at(n * shape.len());
    let (train_labels, clean_labels) = labels.split_at(n);
    let train = Examples::new(train_images, train_labels, shape);
    let clean = Examples::new(clean_images, clean_labels, shape);
    let options = TrainerOptions { batch: n, clean_batch: n, ..TrainerOptions::plain(3) };
    let mut trainer = Trainer::for_batches_async(context, &network, &options).await?;
    let dispatches = &trainer.plan().recording.dispatches;
    let staged = dispatches.iter().filter(|d| format!("{:?}", d.kernel).contains("staged")).count();
    let staged = (staged, dispatches.len());
    trainer.step_on_async(train, Some(clean)).await?;
    let report = trainer.take_report_async().await?.ok_or("the step left no report")?;
    let (similarities, weights) = (report.similarities, report.weights);
    Ok(Fixture { adapter: context.describe(), staged, similarities, weights })
}
