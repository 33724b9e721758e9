//! The learning rate: followed on the device, replaced between steps, and kept in checkpoints.

use crate::common::device::context;
use crate::common::steps::run;
use l2rw::gpu::ShaderChecks;
use l2rw::nn::{Network, Shape, zoo};
use l2rw::plan::Optimizer;
use l2rw::train::{Contents, Examples, Schedule, TrainError, Trainer, TrainerOptions};
use l2rw::weighting::Uniform;

fn network() -> Network {
    zoo::mlp(Shape::new(1, 1, 3), &[4], 2).unwrap()
}

fn trainer(schedule: Schedule) -> Trainer {
    let values: Vec<f32> = (0..60).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
    let labels: Vec<u32> = (0..20).map(|i| i % 2).collect();
    let set = Examples::new(&values, &labels, Shape::new(1, 1, 3));
    let options = TrainerOptions {
        batch: 5,
        weighting: Uniform.into(),
        optimizer: Optimizer::PLAIN,
        weight_decay: 0.0,
        schedule,
        ..TrainerOptions::features(3)
    };
    Trainer::new(context(ShaderChecks::Trusted), &network(), set, None, &options).unwrap()
}

fn parameters(trainer: &Trainer) -> Vec<u8> {
    trainer.model().to_safetensors(Contents::Parameters).unwrap()
}

#[test]
fn steps_follow_the_schedule_that_was_set_last() {
    // One that changes at each step, and one that is set at each step.
    let schedule = Schedule::constant(0.2).with_warm_up(3).with_cosine(3, 8, 0.1);
    let mut whole = trainer(schedule.clone());
    let mut set = trainer(Schedule::constant(7.0));
    for step in 0..10 {
        set.model_mut().set_schedule(Schedule::constant(schedule.rate(step))).unwrap();
        assert_eq!(set.learning_rate(), whole.learning_rate());
        run(&mut whole, 1);
        run(&mut set, 1);
        assert!(parameters(&set) == parameters(&whole), "step {step}");
    }
    let other = parameters(&trainer(Schedule::constant(7.0)));
    assert!(parameters(&set) != other, "the rate does something");
}

#[test]
fn a_run_goes_on_with_the_schedule_that_its_checkpoint_holds() {
    let options = Schedule::constant(0.1);
    let mut first = trainer(options.clone());
    run(&mut first, 3);
    let before = first.model().to_safetensors(Contents::Checkpoint).unwrap();
    first.model_mut().set_schedule(Schedule::tenths(0.3, [5])).unwrap();
    run(&mut first, 1);
    let after = first.model().to_safetensors(Contents::Checkpoint).unwrap();
    run(&mut first, 3);
    let mut second = trainer(options);
    second.model_mut().load_safetensors(&after, Contents::Checkpoint).unwrap();
    assert_eq!(second.learning_rate(), 0.3);
    run(&mut second, 3);
    assert!(parameters(&second) == parameters(&first));
    // One from before it was set, parameters alone, and a schedule that is refused.
    second.model_mut().load_safetensors(&after, Contents::Parameters).unwrap();
    assert_eq!(second.learning_rate(), first.learning_rate());
    second.model_mut().load_safetensors(&before, Contents::Checkpoint).unwrap();
    assert_eq!(second.learning_rate(), 0.1);
    let error = second.model_mut().set_schedule(Schedule::constant(f32::NAN)).unwrap_err();
    assert!(matches!(error, TrainError::Option { option: "schedule.initial", .. }), "{error}");
    assert_eq!(second.learning_rate(), 0.1);
}
