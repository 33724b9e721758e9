//! Batches from buffers that the caller fills.

use super::batch::ValueType;
use super::parts::{GRID, STEP, wgsl};
use super::per_element;
use crate::gpu::{Access, Kernel, Part, Recorder, Shader, TensorId};

/// Which of the step's offsets says where the data begins in its binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportOffset {
    /// `train_images_first`
    TrainImages = 0,
    /// `train_labels_first`
    TrainLabels = 1,
    /// `clean_images_first`
    CleanImages = 2,
    /// `clean_labels_first`
    CleanLabels = 3,
}

/// Where a batch begins in the caller's buffers.
const SOURCE: Part = wgsl!("import/common/source");

/// `shaders/import/labels.wgsl`
static LABELS: Shader = Shader::new("import", &[GRID, STEP, SOURCE, wgsl!("import/labels")]);

fn kernel(
    shader: impl Into<Shader>,
    entry: &'static str,
    len: usize,
    source: ImportOffset,
) -> Kernel {
    Kernel::new(shader, entry).size("LEN", len).constant("SOURCE", source as u32)
}

/// Copies labels from the caller's `data` into all of `out` `[n]`. Those that are none of the
/// classes become the number of classes.
pub fn labels(
    rec: &mut Recorder,
    step: TensorId,
    source: ImportOffset,
    classes: usize,
    data: TensorId,
    out: TensorId,
) {
    let len = rec.len(out);
    let bindings = vec![rec.whole(step, Access::Uniform), rec.read(data), rec.write(out)];
    let kernel = kernel(&LABELS, "labels", len, source).size("CLASSES", classes);
    rec.dispatch(kernel, bindings, per_element(len), 0);
}

/// Normalises images `[n, h, w, c]` of the caller's `data` into all of `out`. `normalisation` holds
/// the mean of each channel, then the standard deviations; bytes stand for 0 to 1.
pub fn images(
    rec: &mut Recorder,
    step: TensorId,
    source: ImportOffset,
    values: ValueType,
    data: TensorId,
    normalisation: TensorId,
    out: TensorId,
) {
    let len = rec.len(out);
    let channels = rec.len(normalisation) / 2;
    let parts = [GRID, STEP, SOURCE, values.part(), wgsl!("import/images")];
    let shader = Shader::joined("import", parts);
    let kernel = kernel(shader, "images", len, source).size("CHANNELS", channels);
    let uniform = rec.whole(step, Access::Uniform);
    let bindings = vec![uniform, rec.read(data), rec.read(normalisation), rec.write(out)];
    rec.dispatch(kernel, bindings, per_element(len), 3 * len as u64);
}
