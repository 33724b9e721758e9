//! What burn alone comes to: the weights by a gradient of all parameters for each example.

use std::time::Instant;

use anyhow::{Result, ensure};
use burn::tensor::Tensor;

use super::data::Batch;
use super::model::{Mlp, losses};

/// Prints how far weights are from those of burn alone.
pub fn compare(found: Tensor<1>, model: &Mlp, train: &Batch, clean: &Batch) -> Result<()> {
    let found: Vec<f32> = found.into_data().try_to_vec()?;
    let start = Instant::now();
    let expected: Vec<f32> = weights(model, train, clean).into_data().try_to_vec()?;
    let seconds = start.elapsed().as_secs_f64();
    let largest = expected.iter().fold(0f32, |a, b| a.max(*b));
    let difference = found.iter().zip(&expected).fold(0f32, |a, (f, e)| a.max((f - e).abs()));
    println!(
        "weights up to {largest:.3}, at most {difference:.1e} from burn's own, which take \
         {seconds:.4} s"
    );
    ensure!(largest > 1.0 / train.len() as f32, "no example has more than its share");
    ensure!(difference < 1e-4, "the weights differ");
    Ok(())
}

/// w `[n]`: max(⟨∇f_i, G⟩, 0), divided by their sum, G the gradient of the mean clean loss.
pub fn weights(model: &Mlp, train: &Batch, clean: &Batch) -> Tensor<1> {
    let clean = gradient(model, clean);
    let similarity = |i| (gradient(model, &train.example(i)) * clean.clone()).sum();
    let similarities = Tensor::cat((0..train.len()).map(similarity).collect(), 0);
    let rectified = similarities.clamp_min(0.0);
    rectified.clone() / rectified.sum()
}

/// Of the mean loss, by all parameters, in one row.
fn gradient(model: &Mlp, batch: &Batch) -> Tensor<1> {
    let scores = model.forward(batch.examples.clone());
    let gradients = losses(scores, &batch.labels).mean().backward();
    let mut parts = Vec::new();
    for layer in &model.layers {
        parts.extend(layer.weight.val().grad(&gradients).map(|g| g.flatten(0, 1)));
        parts.extend(layer.bias.as_ref().and_then(|bias| bias.val().grad(&gradients)));
    }
    Tensor::cat(parts, 0)
}
