//! A perceptron of burn's layers.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Device, Int, Tensor};

use super::data::{Batch, CLASSES, FEATURES};

/// Linear layers with ReLUs between them.
#[derive(Module, Debug)]
pub struct Mlp {
    pub layers: Vec<Linear>,
}

impl Mlp {
    pub fn new(device: &Device) -> Self {
        let sizes = [FEATURES, 128, 64, CLASSES];
        let layer = |pair: &[usize]| LinearConfig::new(pair[0], pair[1]).init(device);
        Self { layers: sizes.windows(2).map(layer).collect() }
    }

    /// Class scores of examples `[n, FEATURES]`.
    pub fn forward(&self, examples: Tensor<2>) -> Tensor<2> {
        self.forward_through(examples, |_, output| output)
    }

    /// The same; `visit` takes each layer's input and output, and gives the output to go on with.
    pub fn forward_through(
        &self,
        examples: Tensor<2>,
        mut visit: impl FnMut(Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        let mut x = examples;
        for (at, layer) in self.layers.iter().enumerate() {
            let output = layer.forward(x.clone());
            let output = visit(x, output);
            x = if at + 1 < self.layers.len() { relu(output) } else { output };
        }
        x
    }

    /// Share of the examples that are taken for another class.
    pub fn error(&self, test: &Batch) -> f32 {
        let found: Tensor<1, Int> = self.forward(test.examples.clone()).argmax(1).squeeze_dim(1);
        1.0 - found.equal(test.labels.clone()).float().mean().into_scalar::<f32>()
    }
}

/// Cross entropy of each example, `[n]`.
pub fn losses(scores: Tensor<2>, labels: &Tensor<1, Int>) -> Tensor<1> {
    -log_softmax(scores, 1).gather(1, labels.clone().unsqueeze_dim(1)).squeeze_dim::<1>(1)
}
