// What changes from step to step; src/ops/step.rs writes it.
struct Step {
    // Step of the run, from 0.
    number: u32,
    seed: u32,
    learning_rate: f32,
    momentum: f32,
    weight_decay: f32,
    // Pass over the training and the clean set, and the first position of this step's batch in it.
    train_epoch: u32,
    train_position: u32,
    clean_epoch: u32,
    clean_position: u32,
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}
