//! Draws training examples by a rule other than one visit each a pass, and mixes pairs of them.

use super::check_len;
use super::rng::{pcg_hash, permuted_index};

/// Random bits of one slot of the batch in step `number`; draws with other numbers are independent.
pub fn slot_bits(seed: u32, number: u32, slot: u32, draw: u32) -> u32 {
    let slot = slot.wrapping_mul(4).wrapping_add(draw).wrapping_add(0x5341_4d50);
    pcg_hash(seed ^ pcg_hash(number ^ pcg_hash(slot)))
}

/// Place in an order of `len` examples that slot `slot` of a batch takes in passes over it.
pub fn pass_place(seed: u32, epoch: u32, position: u32, slot: u32, len: usize) -> usize {
    permuted_index(seed, epoch, position + slot, len as u32) as usize
}

/// The same where each draw picks a class at random, then an example. `starts` `[classes + 1]` says
/// where in the order each class starts, and the end.
pub fn class_place(seed: u32, number: u32, slot: u32, starts: &[u32]) -> usize {
    let class = (slot_bits(seed, number, slot, 0) % (starts.len() as u32 - 1)) as usize;
    let first = starts[class];
    (first + slot_bits(seed, number, slot, 1) % (starts[class + 1] - first)) as usize
}

/// The neighbour `[N, count]` that the example at `index` is mixed with.
pub fn partner(
    seed: u32,
    number: u32,
    slot: u32,
    index: usize,
    neighbours: &[u32],
    count: usize,
) -> usize {
    let which = slot_bits(seed, number, slot, 2) as usize % count;
    neighbours[index * count + which] as usize
}

/// x + λ (other − x) with λ in [0, 1) of the slot.
pub fn mix(seed: u32, number: u32, slot: u32, image: &[f64], other: &[f64]) -> Vec<f64> {
    check_len("other", other, image.len());
    let share = f64::from(slot_bits(seed, number, slot, 3) >> 8) / 16_777_216.0;
    image.iter().zip(other).map(|(x, other)| x + share * (other - x)).collect()
}
