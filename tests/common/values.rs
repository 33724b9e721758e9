//! Deterministic pseudo-random values, the same on every machine and in every shader.

/// Lengths around the 64 elements of a workgroup.
pub const LENGTHS: [usize; 5] = [1, 63, 64, 65, 1_000];

fn pcg_hash(x: u32) -> u32 {
    let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// Value `i` of the stream `tag`, in [-1, 1), exactly representable in `f32`.
pub fn uniform(tag: u32, i: u32) -> f64 {
    let h = pcg_hash(pcg_hash(tag) ^ i);
    f64::from(h >> 8) / f64::from(1 << 23) - 1.0
}

/// The first `len` values of the stream `seed`.
pub fn values(seed: u32, len: usize) -> Vec<f64> {
    (0..len as u32).map(|i| uniform(seed, i)).collect()
}

/// The same with a NaN of either sign among them, in the first half.
pub fn values_with_nan(seed: u32, len: usize) -> Vec<f64> {
    let mut values = values(seed, len);
    values[len / 5] = f64::NAN;
    values[len / 2] = -f64::NAN;
    values
}

/// Either of the two.
pub const INPUTS: [fn(u32, usize) -> Vec<f64>; 2] = [values, values_with_nan];
