//! Plain training steps of the benches' networks in burn: one line of JSON a network, with the
//! seconds of the first step (compilation and tuning included) and of the steps after it.

mod network;

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::decay::WeightDecayConfig;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::{Device, DeviceKind, Int, Tensor, TensorData};
use clap::{Parser, ValueEnum};
use serde::Serialize;

use network::Network;

#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Backend {
    /// WGSL through wgpu.
    Wgpu,
    /// burn's own kernels for the CPU.
    Flex,
}

#[derive(Parser)]
#[command(about)]
struct Options {
    /// caffe_lenet, resnet<depth>
    #[arg(default_values = ["caffe_lenet", "resnet32"])]
    models: Vec<String>,
    #[arg(long, value_enum, default_value = "wgpu")]
    backend: Backend,
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Timed steps after the first one
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Untimed steps between the first and the timed ones
    #[arg(long, default_value_t = 1)]
    warm_up: usize,
}

/// One line of the output.
#[derive(Serialize)]
struct Row<'a> {
    model: &'a str,
    backend: Backend,
    n: usize,
    first_step_s: f64,
    median_s: f64,
    steps_s: Vec<f64>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(options.steps > 0, "--steps must be at least 1");
    for model in &options.models {
        println!("{}", serde_json::to_string(&measure(model, &options)?)?);
    }
    Ok(())
}

fn measure<'a>(model: &'a str, options: &Options) -> Result<Row<'a>> {
    let start = Instant::now();
    let device = match options.backend {
        Backend::Wgpu => Device::wgpu(DeviceKind::DefaultDevice),
        Backend::Flex => Device::flex(),
    }
    .autodiff();
    let mut training = Training::new(model, options.batch, &device)?;
    training.step()?;
    let first_step_s = start.elapsed().as_secs_f64();
    for _ in 0..options.warm_up {
        training.step()?;
    }
    let mut steps_s = Vec::new();
    for _ in 0..options.steps {
        let start = Instant::now();
        training.step()?;
        steps_s.push(start.elapsed().as_secs_f64());
    }
    let mut sorted = steps_s.clone();
    sorted.sort_by(f64::total_cmp);
    let median_s = sorted[sorted.len() / 2];
    Ok(Row { model, backend: options.backend, n: options.batch, first_step_s, median_s, steps_s })
}

/// A network with its optimizer and one batch, which serves every step.
struct Training {
    network: Option<Network>,
    optimizer: ModuleOptimizer,
    images: Tensor<4>,
    labels: Tensor<1, Int>,
    device: Device,
}

impl Training {
    fn new(model: &str, n: usize, device: &Device) -> Result<Self> {
        let (network, [c, h, w]) = Network::by_name(model, device)
            .with_context(|| format!("no network is called {model}: caffe_lenet, resnet<depth>"))?;
        let pixels: Vec<f32> =
            (0..n * c * h * w).map(|i| ((i * i / 7 + i / 3) % 256) as f32 / 127.5 - 1.0).collect();
        let classes: Vec<i32> = (0..n as i32).map(|i| i % 10).collect();
        let optimizer = SgdConfig::new()
            .with_momentum(Some(MomentumConfig::new().with_dampening(0.0)))
            .with_weight_decay(Some(WeightDecayConfig::new(2e-4)));
        Ok(Self {
            network: Some(network),
            optimizer: optimizer.init(),
            images: Tensor::from_data(TensorData::new(pixels, [n, c, h, w]), device),
            labels: Tensor::from_data(TensorData::new(classes, [n]), device),
            device: device.clone(),
        })
    }

    /// One step, to the arrival of its loss and the end of its update.
    fn step(&mut self) -> Result<()> {
        let network = self.network.take().context("the last step failed")?;
        let scores = network.forward(self.images.clone());
        let loss = CrossEntropyLossConfig::new().init(&self.device);
        let loss = loss.forward(scores, self.labels.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        self.network = Some(self.optimizer.step(0.01, network, gradients));
        let loss: f32 = loss.into_scalar();
        ensure!(loss.is_finite(), "the loss is {loss}");
        self.device.sync()?;
        Ok(())
    }
}
