//! The kernel behind [`weight_shader!`](crate::weight_shader): weights that follow from what is
//! known of each example.

use crate::gpu::{Access, Binding, Kernel, Shader, TensorId};
use crate::ops::per_element;
use crate::plan::{IterationBuilder, PlanError, ScoredBatch};

/// A shader for [`PerExample`] from the WGSL text of `fn weight(i: u32) -> f32`; with `observing`,
/// also of `fn observe(i: u32)`.
///
/// The functions may read `losses`, `labels`, `predictions`, `indices` (places in the training set;
/// with batches from the caller there are none, and a method that names them is refused) at any
/// place below `EXAMPLES`; `table`, the constants of the method; `CLASSES`; `step`, see
/// `shaders/common/step.wgsl`; and `state`, which `observe` may write. `observe` runs for each i
/// below `max(EXAMPLES, arrayLength(&state))`, at the same time, before any `weight`.
///
/// In batches from the caller's buffers an example may have a label that is none of the classes.
/// It does not count: `weight` is not called for it, its loss is 0, its label is `CLASSES` or more,
/// and `is_labelled(j)` tells it apart.
///
/// The text is compiled with runtime checks: an index out of range reads or writes something of the
/// same binding. An endless loop is one: a driver may take the device for lost.
#[macro_export]
macro_rules! weight_shader {
    ($name:expr, $weight:expr) => {
        $crate::gpu::Shader::new(
            $name,
            &[
                $crate::weighting::parts::GRID,
                $crate::weighting::parts::STEP,
                $crate::weighting::parts::RNG,
                $crate::weighting::parts::PER_EXAMPLE,
                $crate::gpu::Part::new(concat!(file!(), ":", line!()), $weight),
            ],
        )
    };
    ($name:expr, observing, $functions:expr) => {
        $crate::gpu::Shader::new(
            $name,
            &[
                $crate::weighting::parts::GRID,
                $crate::weighting::parts::STEP,
                $crate::weighting::parts::RNG,
                $crate::weighting::parts::PER_EXAMPLE,
                $crate::gpu::Part::new(concat!(file!(), ":", line!()), $functions),
                $crate::weighting::parts::OBSERVE,
            ],
        )
    };
}

/// What `weight_shader!` puts around a method's functions.
#[doc(hidden)]
pub mod parts {
    use crate::gpu::Part;
    use crate::ops::parts::wgsl;

    pub const GRID: Part = crate::ops::parts::GRID;
    pub const STEP: Part = crate::ops::parts::STEP;
    pub const RNG: Part = crate::ops::parts::RNG;
    pub const PER_EXAMPLE: Part = wgsl!("weighting/per_example");
    pub const OBSERVE: Part = wgsl!("weighting/observe");
}

/// A kernel that computes one number for each training example from losses and labels.
#[derive(Clone, Debug)]
pub struct PerExample {
    shader: &'static Shader,
    constants: Vec<(&'static str, f64)>,
    table: Option<TensorId>,
    state: Option<TensorId>,
}

impl PerExample {
    /// A kernel of a shader from [`weight_shader!`](crate::weight_shader).
    pub fn new(shader: &'static Shader) -> Self {
        Self { shader, constants: Vec::new(), table: None, state: None }
    }

    /// Sets an `override` constant that the functions declare.
    pub fn constant(mut self, name: &'static str, value: f64) -> Self {
        self.constants.push((name, value));
        self
    }

    /// What the functions read as `table`; see [`IterationBuilder::table`].
    pub fn table(mut self, table: TensorId) -> Self {
        self.table = Some(table);
        self
    }

    /// What the functions see as `state`; see [`IterationBuilder::state`]. The shader must be an
    /// observing one.
    pub fn state(mut self, state: TensorId) -> Self {
        self.state = Some(state);
        self
    }

    /// Records the kernel; the result is `[n]`.
    ///
    /// # Errors
    /// When the functions read `indices` and the caller supplies batches, which have none.
    pub fn record(
        &self,
        it: &mut IterationBuilder<'_>,
        seen: &ScoredBatch,
    ) -> Result<TensorId, PlanError> {
        if seen.batch.indices.is_none() && self.reads("indices") {
            return Err(it.refusal(
                "its shader reads `indices`, places in the training set, which batches from the \
                 caller do not have: give the trainer a data set (Trainer::new and step), or weigh \
                 by losses, labels and predictions alone",
            ));
        }
        let n = it.batch_len();
        let classes = it.network().classes();
        let step = it.step();
        let table = self.table.unwrap_or_else(|| it.table("no table", || vec![0.0]));
        let rec = it.own_rec();
        rec.label("");
        let raw = rec.transient("raw weights", n);
        let state = match self.state {
            Some(state) => rec.whole(state, Access::ReadWrite),
            None => {
                let none = rec.transient("no state", 1);
                rec.write(none)
            }
        };
        let indices = seen.batch.indices.unwrap_or(seen.batch.labels);
        let bindings: Vec<Binding> = vec![
            rec.whole(step, Access::Uniform),
            rec.read(seen.losses.losses),
            rec.read(seen.batch.labels),
            rec.read(seen.losses.predictions),
            rec.read(indices),
            rec.read(table),
            state,
            rec.write(raw),
        ];
        let kernel = |entry| {
            let kernel =
                Kernel::new(self.shader, entry).size("EXAMPLES", n).size("CLASSES", classes);
            let add =
                |kernel: Kernel, (name, value): &(&'static str, f64)| kernel.constant(name, *value);
            self.constants.iter().fold(kernel, add)
        };
        if self.state.is_some() {
            let grid = per_element(n.max(state.len));
            rec.dispatch(kernel("observe_batch"), bindings.clone(), grid, 0);
        }
        rec.dispatch(kernel("weigh"), bindings, per_element(n), n as u64);
        Ok(raw)
    }

    /// Whether the method's own functions mention a name.
    fn reads(&self, name: &str) -> bool {
        let frame = [parts::GRID, parts::STEP, parts::RNG, parts::PER_EXAMPLE, parts::OBSERVE];
        self.shader.parts.iter().any(|part| !frame.contains(part) && mentions(part.text, name))
    }
}

/// Whether a WGSL text has an identifier outside its comments.
fn mentions(wgsl: &str, identifier: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    without_comments(wgsl).split(|c| !in_word(c)).any(|word| word == identifier)
}

/// A WGSL text with a space for each comment. Block comments nest.
fn without_comments(wgsl: &str) -> String {
    let (mut code, mut depth, mut rest) = (String::new(), 0, wgsl);
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        if rest.starts_with("/*") {
            (depth, taken) = (depth + 1, 2);
        } else if depth > 0 && rest.starts_with("*/") {
            (depth, taken) = (depth - 1, 2);
            code.push(' ');
        } else if depth == 0 && rest.starts_with("//") {
            taken = rest.find('\n').unwrap_or(rest.len());
        } else if depth == 0 {
            code.push(c);
        }
        rest = &rest[taken..];
    }
    code
}

#[cfg(test)]
mod tests {
    use super::mentions;

    #[test]
    fn a_name_counts_as_a_whole_word_outside_comments() {
        for (wgsl, expected) in [
            ("return state[indices[i]];", true),
            ("// é\nlet a = indices[0];", true),
            ("/* /* a */ */indices", true),
            ("let my_indices = indices2;", false),
            ("let a = 1; // indices", false),
            ("a /* b /* c */ indices */ / d", false),
            ("/* indices", false),
            ("", false),
        ] {
            assert_eq!(mentions(wgsl, "indices"), expected, "{wgsl}");
        }
    }
}
