//! A weighting method of one's own: examples that the network is unsure about count twice.
use l2rw::data;
use l2rw::gpu::{Context, Shader, TensorId};
use l2rw::nn::{Normalisation, Shape, zoo};
use l2rw::plan::{IterationBuilder, PlanError, ScoredBatch};
use l2rw::train::{StepReport, Trainer, TrainerOptions};
use l2rw::weighting::{Method, PerExample};

/// Twice the weight for examples whose label has a probability between `low` and `high`.
#[derive(Debug)]
struct Unsure {
    low: f64,
    high: f64,
}

static SHADER: Shader = l2rw::weight_shader!(
    "unsure",
    "
override LOW: f32;
override HIGH: f32;

fn weight(i: u32) -> f32 {
    let probability = exp(-losses[i]);
    return select(1.0, 2.0, probability > LOW && probability < HIGH);
}
"
);

impl Method for Unsure {
    fn name(&self) -> &'static str {
        "unsure"
    }

    fn weights(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        let kernel = PerExample::new(&SHADER).constant("LOW", self.low).constant("HIGH", self.high);
        let raw = kernel.record(it, seen)?;
        Ok(it.normalise(raw))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sigpipe::reset();
    let set = data::synthetic(1, 50, 1).train;
    let shape = Shape::new(set.height, set.width, set.channels);
    let network = zoo::by_name("resnet8-w4", shape, set.classes(), Normalisation::batch())?;
    let options = TrainerOptions::cifar(Unsure { low: 0.2, high: 0.8 });
    let mut trainer = Trainer::new(&Context::new(None)?, &network, (&set).into(), None, &options)?;
    for _ in 0..20 {
        // The report of an earlier step: results come back late, so that nothing waits for them.
        if let Some(report) = trainer.step()? {
            show(&report);
        }
    }
    while let Some(report) = trainer.take_report(true)? {
        show(&report);
    }
    Ok(())
}

fn show(report: &StepReport) {
    let uniform = 1.0 / report.weights.len() as f32;
    let unsure = report.weights.iter().filter(|w| **w > uniform).count();
    println!(
        "step {}: loss {:.3}, {unsure} of {} count twice, first weights {:.4?}",
        report.step,
        report.loss(),
        report.weights.len(),
        &report.weights[..5]
    );
}
