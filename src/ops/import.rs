//! Batches from buffers that the caller fills.

use super::parts::{GRID, STEP, wgsl};
use super::per_element;
use crate::gpu::{Access, Kernel, Recorder, Shader, TensorId};

/// `shaders/import.wgsl`
static SHADER: Shader = Shader::new("import", &[GRID, STEP, wgsl!("import")]);

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

fn kernel(entry: &'static str, len: usize, source: ImportOffset) -> Kernel {
    Kernel::new(&SHADER, entry).size("LEN", len).constant("SOURCE", source as u32)
}

/// Copies words from the caller's `data` into all of `out`: images `[n, h, w, c]` that are
/// normalised already.
pub fn words(
    rec: &mut Recorder,
    step: TensorId,
    source: ImportOffset,
    data: TensorId,
    out: TensorId,
) {
    record_words(rec, step, source, data, out, u32::MAX);
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
    record_words(rec, step, source, data, out, classes as u32);
}

fn record_words(
    rec: &mut Recorder,
    step: TensorId,
    source: ImportOffset,
    data: TensorId,
    out: TensorId,
    largest: u32,
) {
    let len = rec.len(out);
    let bindings = vec![rec.whole(step, Access::Uniform), rec.read(data), rec.write(out)];
    let kernel = kernel("words", len, source).constant("LARGEST", largest);
    rec.dispatch(kernel, bindings, per_element(len), 0);
}

/// Normalises 8-bit images `[n, h, w, c]` of the caller's `data` into all of `out`.
/// `normalisation` holds the mean of each channel, then the standard deviations, of pixels in
/// \[0, 1\].
pub fn pixels(
    rec: &mut Recorder,
    step: TensorId,
    source: ImportOffset,
    data: TensorId,
    normalisation: TensorId,
    out: TensorId,
) {
    let len = rec.len(out);
    let kernel = kernel("pixels", len, source).size("CHANNELS", rec.len(normalisation) / 2);
    let uniform = rec.whole(step, Access::Uniform);
    let bindings = vec![uniform, rec.read(data), rec.read(normalisation), rec.write(out)];
    rec.dispatch(kernel, bindings, per_element(len), 3 * len as u64);
}
