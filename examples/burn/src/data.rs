//! Noisy data: ten clouds of points, and a label 0 for nearly half of the training examples.

use burn::tensor::{Device, Distribution, Int, Tensor};

pub const FEATURES: usize = 64;
pub const CLASSES: usize = 10;
const TRAIN: usize = 4000;
const TEST: usize = 4000;

/// Examples `[n, FEATURES]` and their labels `[n]`.
pub struct Batch {
    pub examples: Tensor<2>,
    pub labels: Tensor<1, Int>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.labels.dims()[0]
    }

    fn select(&self, indices: Tensor<1, Int>) -> Self {
        let examples = self.examples.clone().select(0, indices.clone());
        Self { examples, labels: self.labels.clone().select(0, indices) }
    }

    /// The batch of one example.
    pub fn example(&self, index: usize) -> Self {
        self.select(Tensor::from_ints([index as i32], &self.labels.device()))
    }
}

pub struct Data {
    train: Batch,
    /// With right labels, as many of each class.
    pub clean: Batch,
    pub test: Batch,
}

impl Data {
    pub fn new(clean: usize, device: &Device) -> Self {
        let centers = Tensor::random([CLASSES, FEATURES], Distribution::Normal(0.0, 0.5), device);
        let cloud = |n: usize| {
            let labels: Vec<i32> = (0..n).map(|i| (i % CLASSES) as i32).collect();
            let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), device);
            let noise = Tensor::random([n, FEATURES], Distribution::Normal(0.0, 1.0), device);
            let examples: Tensor<2> = centers.clone();
            Batch { examples: examples.select(0, labels.clone()) + noise, labels }
        };
        let train = cloud(TRAIN);
        // 45 % of each class.
        let kept: Vec<i32> = (0..TRAIN).map(|i| i32::from(i / CLASSES % 20 >= 9)).collect();
        let labels = train.labels * Tensor::from_ints(kept.as_slice(), device);
        Self { train: Batch { labels, ..train }, clean: cloud(clean), test: cloud(TEST) }
    }

    /// Training examples at random.
    pub fn batch(&self, n: usize) -> Batch {
        let all = Distribution::Uniform(0.0, TRAIN as f64);
        self.train.select(Tensor::random([n], all, &self.train.labels.device()))
    }
}
