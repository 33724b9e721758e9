//! The networks of the benches in burn's layers.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Tensor};

/// Either network, so that one training step serves both.
#[derive(Module, Debug)]
pub enum Network {
    Lenet(Lenet),
    ResNet(ResNet),
}

impl Network {
    /// `caffe_lenet` or `resnet<depth>`, with the shape `[channels, height, width]` of its images.
    pub fn by_name(name: &str, device: &Device) -> Option<(Self, [usize; 3])> {
        if name == "caffe_lenet" {
            return Some((Self::Lenet(Lenet::new(device)), [1, 28, 28]));
        }
        let depth: usize = name.strip_prefix("resnet")?.parse().ok()?;
        let allowed = depth >= 8 && depth % 6 == 2;
        allowed.then(|| (Self::ResNet(ResNet::new((depth - 2) / 6, device)), [3, 32, 32]))
    }

    /// Class scores `[n, 10]` of images `[n, c, h, w]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::Lenet(network) => network.forward(images),
            Self::ResNet(network) => network.forward(images),
        }
    }
}

/// Two 5×5 convolutions of 20 and 50 channels, each with 2×2 max pooling, and 500 hidden units.
#[derive(Module, Debug)]
pub struct Lenet {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    fc1: Linear,
    fc2: Linear,
}

impl Lenet {
    fn new(device: &Device) -> Self {
        Self {
            conv1: Conv2dConfig::new([1, 20], [5, 5]).init(device),
            conv2: Conv2dConfig::new([20, 50], [5, 5]).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            fc1: LinearConfig::new(4 * 4 * 50, 500).init(device),
            fc2: LinearConfig::new(500, 10).init(device),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(self.conv1.forward(images));
        let x = self.pool.forward(self.conv2.forward(x));
        let x = relu(self.fc1.forward(x.flatten(1, 3)));
        self.fc2.forward(x)
    }
}

/// Pre-activation ResNet for CIFAR with parameter-free shortcuts, widths 16, 32, 64.
#[derive(Module, Debug)]
pub struct ResNet {
    stem: Conv2d,
    blocks: Vec<Block>,
    norm: BatchNorm,
    fc: Linear,
}

impl ResNet {
    fn new(blocks_per_stage: usize, device: &Device) -> Self {
        let mut blocks = Vec::new();
        let mut channels = 16;
        for (stage, width) in [16, 32, 64].into_iter().enumerate() {
            for block in 0..blocks_per_stage {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                blocks.push(Block::new(channels, width, stride, device));
                channels = width;
            }
        }
        Self {
            stem: conv(3, 16, 1, device),
            blocks,
            norm: BatchNormConfig::new(64).init(device),
            fc: LinearConfig::new(64, 10).init(device),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let stem = self.stem.forward(images);
        let x = self.blocks.iter().fold(stem, |x, block| block.forward(x));
        let x = relu(self.norm.forward(x));
        let [n, channels, height, width] = x.dims();
        let x = x.reshape([n, channels, height * width]).mean_dim(2);
        self.fc.forward(x.reshape([n, channels]))
    }
}

/// norm–ReLU–conv–norm–ReLU–conv, added to its input.
#[derive(Module, Debug)]
pub struct Block {
    norm1: BatchNorm,
    conv1: Conv2d,
    norm2: BatchNorm,
    conv2: Conv2d,
    stride: usize,
}

impl Block {
    fn new(channels: usize, width: usize, stride: usize, device: &Device) -> Self {
        Self {
            norm1: BatchNormConfig::new(channels).init(device),
            conv1: conv(channels, width, stride, device),
            norm2: BatchNormConfig::new(width).init(device),
            conv2: conv(width, width, 1, device),
            stride,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let main = self.conv1.forward(relu(self.norm1.forward(x.clone())));
        let main = self.conv2.forward(relu(self.norm2.forward(main)));
        let [n, width, h, w] = main.dims();
        main + shortcut(x, self.stride, [n, width, h, w])
    }
}

/// Average pooling over the stride, then zero channels on both sides.
fn shortcut(x: Tensor<4>, stride: usize, [n, width, h, w]: [usize; 4]) -> Tensor<4> {
    if stride == 1 {
        return x;
    }
    let pooled = avg_pool2d(x, AvgPoolOptions::new([stride, stride]));
    let channels = pooled.dims()[1];
    let before = (width - channels) / 2;
    let zeros = |count| Tensor::<4>::zeros([n, count, h, w], &pooled.device());
    Tensor::cat(vec![zeros(before), pooled.clone(), zeros(width - channels - before)], 1)
}

/// 3×3, TensorFlow's SAME padding, no bias.
fn conv(from: usize, to: usize, stride: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([from, to], [3, 3])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Same)
        .with_bias(false)
        .init(device)
}
