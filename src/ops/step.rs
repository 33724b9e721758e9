//! The few numbers that the host writes before each step.

use bytemuck::{Pod, Zeroable};

/// What changes from step to step: the one thing the host writes. Mirrors
/// `shaders/common/step.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Pod, Zeroable)]
pub struct Step {
    /// Step of the run, from 0.
    pub number: u32,
    /// Seed of everything random in the run.
    pub seed: u32,
    /// η
    pub learning_rate: f32,
    /// μ
    pub momentum: f32,
    /// λ: the gradient of a decaying parameter θ grows by λ·θ.
    pub weight_decay: f32,
    /// Pass over the training set.
    pub train_epoch: u32,
    /// Position of the batch's first example in that pass.
    pub train_position: u32,
    /// Pass over the clean set.
    pub clean_epoch: u32,
    /// Position of the batch's first example in that pass.
    pub clean_position: u32,
    /// Where a supplied training batch begins in its binding: bytes for 8-bit images, words for
    /// 32-bit ones.
    pub train_images_first: u32,
    /// Where its labels begin, in words.
    pub train_labels_first: u32,
    /// The same for a supplied clean batch.
    pub clean_images_first: u32,
    /// Where its labels begin, in words.
    pub clean_labels_first: u32,
    /// 1 − β₁ᵗ for step t, counted from 1 (AdamW).
    pub first_correction: f32,
    /// 1 − β₂ᵗ
    pub second_correction: f32,
    /// Uniform structs end at multiples of 16 bytes.
    pub padding: u32,
}

impl Step {
    /// Number of 4-byte words.
    pub const WORDS: usize = size_of::<Self>() / 4;
}
