//! Batches from a data set on the device: drawn, cropped, flipped and normalised.

use std::ops::Range;

use super::parts::{GRID, RNG, STEP, wgsl};
use super::per_element;
use crate::gpu::{Access, Binding, ElementType, Kernel, Part, Recorder, Shader, TensorId};

/// How the values of examples are stored: the axis `common/values`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// 8 bits each, which stand for 0 to 1; four a word.
    Bytes,
    /// f32 each.
    Floats,
}

impl ValueType {
    /// Bytes of a value.
    pub fn size(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::Floats => 4,
        }
    }

    /// The file.
    pub(super) fn part(self) -> Part {
        match self {
            Self::Bytes => wgsl!("common/values", "bytes"),
            Self::Floats => wgsl!("common/values", "floats"),
        }
    }
}

/// Which random numbers a batch uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The training batch.
    Train = 0,
    /// The clean batch.
    Clean = 1,
    /// No random numbers: examples in order, from the step's `train_position` on.
    Sequential = 2,
}

/// Size of the images, and what happens to them on their way into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Pixels of zeros around the image, from which a window of its size is cut at random; 0 for
    /// none.
    pub crop_pad: usize,
    /// Whether half of the images are mirrored.
    pub flip: bool,
}

/// A data set on the device; one too large for one binding lies in several tensors.
#[derive(Clone, Debug)]
pub struct DeviceDataset {
    /// Examples.
    pub len: usize,
    /// How the pieces are stored.
    pub values: ValueType,
    /// Pieces of the images, `images_per_piece` images each (fewer in the last).
    pub pieces: Vec<TensorId>,
    /// Images in each piece but the last.
    pub images_per_piece: usize,
    /// Whether the one piece holds the step's batch only: image i is that of slot i.
    pub streamed: bool,
    /// `[len]`
    pub labels: TensorId,
    /// Mean of each channel, then standard deviation; bytes stand for 0 to 1.
    pub normalisation: TensorId,
}

/// A batch.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// `[n, h, w, c]`, normalised.
    pub images: TensorId,
    /// `[n]`
    pub labels: TensorId,
    /// Place of each example in the data set, `[n]`; `None` for batches from elsewhere.
    pub indices: Option<TensorId>,
}

fn kernel(
    entry: &'static str,
    n: usize,
    values: ValueType,
    gather: &Gather,
    stream: Stream,
) -> Kernel {
    let parts = [GRID, STEP, RNG, values.part(), wgsl!("batch")];
    Kernel::new(Shader::joined("batch", parts), entry)
        .size("BATCH", n)
        .size("HEIGHT", gather.height)
        .size("WIDTH", gather.width)
        .size("CHANNELS", gather.channels)
        .size("CROP_PAD", gather.crop_pad)
        .constant("FLIP", gather.flip)
        .constant("STREAM", stream as u32)
}

/// Draws the examples of these slots of the step's batch, new ones until the data set is used up,
/// and makes a batch of them. Whoever draws other slots with the same seed gets the other examples
/// of one and the same batch.
pub fn draw(
    rec: &mut Recorder,
    step: TensorId,
    data: &DeviceDataset,
    slots: Range<usize>,
    gather: &Gather,
    stream: Stream,
) -> Batch {
    let (first_slot, n) = (slots.start, slots.len());
    let indices = rec.transient_of("indices", ElementType::U32, n);
    let labels = rec.transient_of("labels", ElementType::U32, n);
    let uniform = rec.whole(step, Access::Uniform);
    let bindings = vec![uniform, rec.read(data.labels), rec.write(indices), rec.write(labels)];
    let draw = kernel("draw", n, data.values, gather, stream)
        .size("FIRST_SLOT", first_slot)
        .size("END_IMAGE", data.len);
    rec.dispatch(draw, bindings, per_element(n), 0);

    let drawn = DrawnExamples { indices, labels, first_slot };
    let images = self::gather(rec, step, data, drawn, gather, stream);
    Batch { images, labels, indices: Some(indices) }
}

/// Which examples make a batch.
#[derive(Clone, Copy, Debug)]
pub struct DrawnExamples {
    /// Place of each example in the data set, `[n]` u32.
    pub indices: TensorId,
    /// `[n]` u32
    pub labels: TensorId,
    /// Slot of the first of them in the step's batch: 0 unless others take a part of it.
    pub first_slot: usize,
}

/// The images of a batch, cropped, mirrored and normalised: `[n, h, w, c]`.
pub fn gather(
    rec: &mut Recorder,
    step: TensorId,
    data: &DeviceDataset,
    drawn: DrawnExamples,
    gather: &Gather,
    stream: Stream,
) -> TensorId {
    let n = rec.len(drawn.indices);
    let uniform = rec.whole(step, Access::Uniform);
    let len = n * gather.height * gather.width * gather.channels;
    let images = rec.transient("images", len);
    for (piece, &tensor) in data.pieces.iter().enumerate() {
        let first = piece * data.images_per_piece;
        let end = data.len.min(first + data.images_per_piece);
        // Later pieces leave alone what earlier ones wrote.
        let access = if piece == 0 { Access::Write } else { Access::ReadWrite };
        let out = Binding { tensor: images, offset: 0, len, access };
        let normalisation = rec.read(data.normalisation);
        let bindings = vec![uniform, rec.read(tensor), rec.read(drawn.indices), normalisation, out];
        let gather = kernel("gather", n, data.values, gather, stream)
            .size("FIRST_SLOT", drawn.first_slot)
            .size("FIRST_IMAGE", first)
            .size("END_IMAGE", end)
            .constant("STREAMED", data.streamed);
        rec.dispatch(gather, bindings, per_element(len), len as u64);
    }
    images
}
