//! Finds numbers that are not finite, so that no step follows them.

use super::parts::{FINITE, GRID, STEP, wgsl};
use super::per_element;
use crate::gpu::{Access, Kernel, Recorder, Shader, TensorId};

/// `shaders/not_finite.wgsl`
static SHADER: Shader = Shader::new("not_finite", &[GRID, STEP, FINITE, wgsl!("not_finite")]);

/// Words of the tensor that says what was found. A word is 0, or 2³² − 1 less the first place.
pub const SLOTS: usize = 8;

/// Word for the step at which something was first found. While it is 0, all is well.
pub const STEP_SLOT: usize = 0;

/// What is looked through, by the word in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// Losses of the training batch.
    Loss = 1,
    /// u of the training batch.
    Similarity,
    /// Losses of the clean batch.
    CleanLoss,
    /// The gradient that the optimizer follows.
    Gradient,
    /// The parameters before the step.
    Parameter,
    /// BatchNorm's running statistics.
    RunningStatistic,
    /// The gradient of what the weighting method learns.
    MethodGradient,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Loss,
        Self::Similarity,
        Self::CleanLoss,
        Self::Gradient,
        Self::Parameter,
        Self::RunningStatistic,
        Self::MethodGradient,
    ];

    /// The first place that was found, from the words of the tensor.
    pub fn first(self, found: &[u32]) -> Option<u32> {
        place(*found.get(self as usize)?)
    }
}

/// What a word says.
pub fn place(word: u32) -> Option<u32> {
    (word != 0).then_some(u32::MAX - word)
}

/// Vectors that one dispatch looks through.
const AT_ONCE: usize = 6;

const LENS: [&str; AT_ONCE] = ["LEN_0", "LEN_1", "LEN_2", "LEN_3", "LEN_4", "LEN_5"];
const PLACES: [&str; AT_ONCE] = ["SLOT_0", "SLOT_1", "SLOT_2", "SLOT_3", "SLOT_4", "SLOT_5"];

/// Adds to `found` `[SLOTS]` what is not finite in each vector, of which there are six at most.
pub fn look(rec: &mut Recorder, step: TensorId, vectors: &[(Quantity, TensorId)], found: TensorId) {
    let Some(&(_, any)) = vectors.first() else { return };
    debug_assert!(vectors.len() <= AT_ONCE, "{vectors:?}");
    let mut kernel = Kernel::new(&SHADER, "look").size("STEP_SLOT", STEP_SLOT);
    let mut bindings = vec![rec.whole(step, Access::Uniform)];
    let mut longest = 0;
    for (index, (len_name, slot_name)) in LENS.into_iter().zip(PLACES).enumerate() {
        let vector = vectors.get(index);
        let len = vector.map_or(0, |(_, tensor)| rec.len(*tensor));
        let slot = vector.map_or(0, |(quantity, _)| *quantity as usize);
        kernel = kernel.size(len_name, len).size(slot_name, slot);
        bindings.push(rec.read(vector.map_or(any, |(_, tensor)| *tensor)));
        longest = longest.max(len);
    }
    bindings.push(rec.whole(found, Access::ReadWrite));
    rec.dispatch(kernel, bindings, per_element(longest), 0);
}

/// `shaders/unusable.wgsl`
static UNUSABLE: Shader = Shader::new("unusable", &[GRID, FINITE, wgsl!("unusable")]);

/// Leaves examples out of a batch whose images `[n, image]` have a number that is not finite: the
/// images become zeros, the labels `[n]` `classes`, which losses ignore.
pub fn leave_out(rec: &mut Recorder, images: TensorId, labels: TensorId, classes: usize) {
    let n = rec.len(labels);
    let kernel = Kernel::new(&UNUSABLE, "leave_out")
        .size("EXAMPLES", n)
        .size("IMAGE", rec.len(images) / n)
        .size("CLASSES", classes);
    let bindings = vec![rec.whole(images, Access::ReadWrite), rec.whole(labels, Access::ReadWrite)];
    rec.dispatch(kernel, bindings, per_element(n), 0);
}
