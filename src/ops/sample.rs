//! Training examples drawn by a rule other than one visit each a pass, and mixtures of two.

use super::batch::{DeviceDataset, DrawnExamples};
use super::parts::{GRID, RNG, STEP, wgsl};
use super::per_element;
use crate::gpu::{Access, ElementType, Kernel, Recorder, Shader, TensorId};

/// `shaders/sample.wgsl`
static SHADER: Shader = Shader::new("sample", &[GRID, STEP, RNG, wgsl!("sample")]);

/// How examples are picked from an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Each entry once a pass, in a new random order each pass.
    Passes = 0,
    /// A class at random, then one of its examples at random, with replacement.
    ClassThenExample = 1,
}

/// Examples drawn from an order.
#[derive(Clone, Copy, Debug)]
pub struct Picked {
    /// Examples and labels.
    pub drawn: DrawnExamples,
    /// Place of each example in the order, `[n]` u32.
    pub places: TensorId,
}

fn kernel(entry: &'static str, dataset_len: usize, n: usize) -> Kernel {
    Kernel::new(&SHADER, entry).size("DATASET_LEN", dataset_len).size("BATCH", n)
}

/// Sets what an entry point does not use: an override without a value is an error.
fn unused(kernel: Kernel, names: &[&'static str]) -> Kernel {
    names.iter().fold(kernel, |kernel, name| kernel.size(name, 1))
}

/// Draws `n` examples from `order`, a list of places in the data set. `starts` says where in the
/// order each class that has examples starts, and where the last one ends; only
/// [`Rule::ClassThenExample`] reads it.
pub fn draw(
    rec: &mut Recorder,
    step: TensorId,
    data: &DeviceDataset,
    n: usize,
    order: TensorId,
    starts: TensorId,
    rule: Rule,
) -> Picked {
    let mut integers = |what| rec.transient_of(what, ElementType::U32, n);
    let (indices, labels, places) = (integers("indices"), integers("labels"), integers("places"));
    let kernel = kernel("draw", data.len, n).constant("RULE", rule as u32);
    let bindings = vec![
        rec.whole(step, Access::Uniform),
        rec.read(data.labels),
        rec.read(order),
        rec.read(starts),
        rec.write(indices),
        rec.write(labels),
        rec.write(places),
    ];
    rec.dispatch(unused(kernel, &["NEIGHBOURS", "IMAGE"]), bindings, per_element(n), 0);
    Picked { drawn: DrawnExamples { indices, labels, first_slot: 0 }, places }
}

/// A random one of each drawn example's neighbours `[N, count]`.
pub fn partners(
    rec: &mut Recorder,
    step: TensorId,
    picked: &Picked,
    neighbours: TensorId,
    count: usize,
) -> DrawnExamples {
    let n = rec.len(picked.places);
    let indices = rec.transient_of("partners", ElementType::U32, n);
    let kernel = kernel("partners", rec.len(neighbours) / count, n).size("NEIGHBOURS", count);
    let bindings = vec![
        rec.whole(step, Access::Uniform),
        rec.read(picked.drawn.indices),
        rec.read(neighbours),
        rec.write(indices),
    ];
    let kernel = unused(kernel, &["RULE", "IMAGE"]);
    rec.dispatch(kernel, bindings, per_element(n), 0);
    DrawnExamples { indices, ..picked.drawn }
}

/// `images` `[n, …]`; those whose place in the order lies behind the data set of `dataset_len`
/// examples are moved a random part of the way towards `others`.
pub fn mix(
    rec: &mut Recorder,
    step: TensorId,
    picked: &Picked,
    dataset_len: usize,
    images: TensorId,
    others: TensorId,
) -> TensorId {
    let (n, len) = (rec.len(picked.places), rec.len(images));
    let mixed = rec.transient("mixed", len);
    let kernel = kernel("mix_pairs", dataset_len, n).size("IMAGE", len / n);
    let bindings = vec![
        rec.whole(step, Access::Uniform),
        rec.read(picked.places),
        rec.read(images),
        rec.read(others),
        rec.write(mixed),
    ];
    let kernel = unused(kernel, &["RULE", "NEIGHBOURS"]);
    rec.dispatch(kernel, bindings, per_element(len), 2 * len as u64);
    mixed
}
