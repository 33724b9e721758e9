//! Batches from the caller's buffers.

use crate::ops::batch::ValueType;

/// `len` labels of `source`, from word `first` on; those that are none of the classes become the
/// number of classes.
///
/// # Panics
/// When `source` ends before.
pub fn labels(source: &[u32], first: usize, classes: u32, len: usize) -> Vec<u32> {
    source[first..first + len].iter().map(|label| *label.min(&classes)).collect()
}

/// `len` values of `source`, from value `first` on, normalised: `(x − mean) / deviation`.
/// `normalisation` is `[means | deviations]`, one of each a channel.
///
/// # Panics
/// When `source` ends before.
pub fn images(
    source: &[u32],
    values: ValueType,
    first: usize,
    normalisation: &[f64],
    len: usize,
) -> Vec<f64> {
    let channels = normalisation.len() / 2;
    let mut images = vec![0.0; len];
    for i in 0..len {
        let at = first + i;
        let x = match values {
            ValueType::Bytes => f64::from((source[at / 4] >> (8 * (at % 4))) & 255) / 255.0,
            ValueType::Floats => f64::from(f32::from_bits(source[at])),
        };
        let channel = i % channels;
        images[i] = (x - normalisation[channel]) / normalisation[channels + channel];
    }
    images
}
