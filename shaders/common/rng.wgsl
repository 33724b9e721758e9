// Counter-based random numbers and the shuffled visiting order of an epoch.
// The CPU twin, with the same names and the same bits, is src/reference/rng.rs.
// Functions only: prepend this to the kernels that sample.

// The PCG hash (Jarzynski and Olano, "Hash Functions for GPU Rendering", 2020).
fn pcg_hash(x: u32) -> u32 {
    let state = x * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

fn feistel(key: u32, index: u32, half_bits: u32, mask: u32) -> u32 {
    var left = index >> half_bits;
    var right = index & mask;
    // Halves of few bits have few functions of them: it takes more rounds until none shows.
    let rounds = select(4u, 12u, half_bits <= 4u);
    for (var round = 0u; round < rounds; round++) {
        let key_round = pcg_hash(key + round * 0x9E3779B9u);
        let next = left ^ (pcg_hash(right ^ key_round) & mask);
        left = right;
        right = next;
    }
    return (left << half_bits) | right;
}

// The example that `epoch` visits at `position`: for each `seed` and `epoch` a permutation of
// 0..len. Positions from `len` on are taken modulo `len`; for a `len` of 0 the result is 0.
fn permuted_index(seed: u32, epoch: u32, position: u32, len: u32) -> u32 {
    if len == 0u {
        return 0u;
    }
    let bits = 32u - countLeadingZeros(len - 1u);
    let half_bits = max((bits + 1u) / 2u, 1u);
    let mask = (1u << half_bits) - 1u;
    let key = seed ^ pcg_hash(epoch);
    var index = position % len;
    // A cycle passes through each value outside 0..len at most once, so this bound is never the
    // reason to stop. Fewer than four iterations are needed on average.
    let outside = ((mask << half_bits) | mask) - (len - 1u);
    for (var walked = 0u; walked <= outside; walked++) {
        index = feistel(key, index, half_bits, mask);
        if index < len {
            break;
        }
    }
    return index;
}
