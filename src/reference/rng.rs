//! The host twin of `shaders/common/rng.wgsl`: the same names, the same bits.
//!
//! An epoch visits the examples in the order of a pseudo-random permutation that is computed, not
//! stored: a balanced Feistel network (Luby and Rackoff, 1988) on the smallest domain of an even
//! number of bits that holds the data set, applied again while its output falls outside (cycle
//! walking; Black and Rogaway, 2002). Any position of any epoch can so be asked for on its own.

const GOLDEN_RATIO: u32 = 0x9E37_79B9;

/// The PCG hash of `x` (Jarzynski and Olano, "Hash Functions for GPU Rendering", 2020): a
/// bijection of 32-bit words.
pub fn pcg_hash(x: u32) -> u32 {
    let state = x.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

/// The example that `epoch` visits at `position`: for each `seed` and `epoch` a permutation of
/// `0..len`.
///
/// A `position` from `len` on is taken modulo `len`; for a `len` of 0 the result is 0.
pub fn permuted_index(seed: u32, epoch: u32, position: u32, len: u32) -> u32 {
    if len == 0 {
        return 0;
    }
    let half = half_bits(len);
    let mask = (1 << half) - 1;
    let key = seed ^ pcg_hash(epoch);
    let mut index = position % len;
    // A cycle passes through each value outside 0..len at most once, so this bound is never the
    // reason to stop. Fewer than four iterations are needed on average.
    let outside = ((mask << half) | mask) - (len - 1);
    for _ in 0..=outside {
        index = feistel(key, index, half, mask);
        if index < len {
            break;
        }
    }
    index
}

/// Half the bits of the domain: the smallest number, at least 1, with 4^half >= len.
fn half_bits(len: u32) -> u32 {
    let bits = u32::BITS - (len - 1).leading_zeros();
    bits.div_ceil(2).max(1)
}

fn feistel(key: u32, index: u32, half: u32, mask: u32) -> u32 {
    let mut left = index >> half;
    let mut right = index & mask;
    // Halves of few bits have few functions of them: it takes more rounds until none shows.
    let rounds = if half <= 4 { 12_u32 } else { 4 };
    for round in 0..rounds {
        let key_round = pcg_hash(key.wrapping_add(round.wrapping_mul(GOLDEN_RATIO)));
        (left, right) = (right, left ^ (pcg_hash(right ^ key_round) & mask));
    }
    (left << half) | right
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn permutation(seed: u32, epoch: u32, len: u32) -> Vec<u32> {
        (0..len).map(|position| permuted_index(seed, epoch, position, len)).collect()
    }

    fn assert_permutation(seed: u32, epoch: u32, len: u32) {
        let mut order = permutation(seed, epoch, len);
        order.sort_unstable();
        assert!(order.into_iter().eq(0..len), "seed {seed}, epoch {epoch}, len {len}");
    }

    #[test]
    fn every_index_comes_once_at_lens_around_the_powers_of_two() {
        for power in 0..14 {
            for len in [(1_u32 << power) - 1, 1 << power, (1 << power) + 1] {
                assert_permutation(7, 3, len);
            }
        }
    }

    proptest! {
        #[test]
        fn every_index_comes_once(seed: u32, epoch: u32, len in 1_u32..5_000) {
            assert_permutation(seed, epoch, len);
        }

        #[test]
        fn an_index_stays_below_any_len(seed: u32, epoch: u32, position: u32, len in 1_u32..) {
            prop_assert!(permuted_index(seed, epoch, position, len) < len);
        }
    }

    #[test]
    fn epochs_and_seeds_have_orders_of_their_own() {
        let orders = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
            .map(|(seed, epoch)| permutation(seed, epoch, 1_000));
        for (place, order) in orders.iter().enumerate() {
            for other in &orders[..place] {
                let agreeing = order.iter().zip(other).filter(|(a, b)| a == b).count();
                // Two random permutations agree in one place on average.
                assert!(agreeing < 10, "{agreeing} of 1,000 places agree");
            }
        }
    }

    #[test]
    fn neighbouring_positions_are_uncorrelated() {
        let len = 50_000;
        let order = permutation(5, 9, len).into_iter().map(f64::from).collect::<Vec<_>>();
        let mean = f64::from(len - 1) / 2.0;
        let variance = (f64::from(len).powi(2) - 1.0) / 12.0;
        for lag in [1, 2, 3, 100] {
            let products = order.iter().zip(&order[lag..]).map(|(a, b)| (a - mean) * (b - mean));
            let correlation = products.sum::<f64>() / f64::from(len) / variance;
            // Four standard deviations of the correlation of 50,000 independent pairs.
            assert!(correlation.abs() < 4.0 / f64::from(len).sqrt(), "lag {lag}: {correlation}");
        }
    }

    /// How far Pearson's statistic of equally probable cells lies above its mean, in standard
    /// deviations.
    fn excess(counts: &[u32]) -> f64 {
        let freedom = (counts.len() - 1) as f64;
        let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
        let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
        (counts.iter().map(square).sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
    }

    #[test]
    fn every_example_and_every_pair_comes_first_equally_often() {
        for len in [2_u32, 3, 5, 8, 10, 16, 20, 33, 64, 100] {
            for seed in [3, 4] {
                let n = len as usize;
                let (mut first, mut pairs) = (vec![0; n], vec![0; n * n]);
                for epoch in 0..100_000 {
                    let [a, b] = [0, 1].map(|at| permuted_index(seed, epoch, at, len) as usize);
                    first[a] += 1;
                    pairs[a * n + b] += 1;
                }
                let pairs: Vec<u32> =
                    (0..n * n).filter(|at| at % (n + 1) != 0).map(|at| pairs[at]).collect();
                // Of 40 statistics of fair orders, hardly one in a thousand runs lies above 5.
                let (first, pairs) = (excess(&first), excess(&pairs));
                assert!(first < 5.0 && pairs < 5.0, "{len}, seed {seed}: {first} {pairs}");
            }
        }
    }

    #[test]
    fn no_examples_and_positions_past_the_end_do_not_panic() {
        assert_eq!(permuted_index(1, 1, 5, 0), 0);
        assert_eq!(permuted_index(1, 1, 105, 100), permuted_index(1, 1, 5, 100));
    }
}
