//! Batches from the caller's buffers.

/// `len` words of `source`, from word `first` on.
///
/// # Panics
/// When `source` ends before.
pub fn words(source: &[u32], first: usize, len: usize) -> Vec<u32> {
    source[first..first + len].to_vec()
}

/// `len` labels of `source`, from word `first` on; those that are none of the classes become the
/// number of classes.
///
/// # Panics
/// When `source` ends before.
pub fn labels(source: &[u32], first: usize, classes: u32, len: usize) -> Vec<u32> {
    words(source, first, len).into_iter().map(|label| label.min(classes)).collect()
}

/// `len` 8-bit values, four a word of `source`, from byte `first` on, normalised:
/// `(pixel / 255 − mean) / deviation`. `normalisation` is `[means | deviations]`, one of each a
/// channel.
///
/// # Panics
/// When `source` ends before.
pub fn pixels(source: &[u32], first: usize, normalisation: &[f64], len: usize) -> Vec<f64> {
    let channels = normalisation.len() / 2;
    let mut images = vec![0.0; len];
    for i in 0..len {
        let byte = first + i;
        let pixel = f64::from((source[byte / 4] >> (8 * (byte % 4))) & 255) / 255.0;
        let channel = i % channels;
        images[i] = (pixel - normalisation[channel]) / normalisation[channels + channel];
    }
    images
}
