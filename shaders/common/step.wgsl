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
    // Where supplied batches begin in their bindings: bytes for 8-bit images, words for all else.
    train_images_first: u32,
    train_labels_first: u32,
    clean_images_first: u32,
    clean_labels_first: u32,
    // 1 − β₁ᵗ and 1 − β₂ᵗ for step t, counted from 1.
    first_correction: f32,
    second_correction: f32,
    unused: u32,
}
