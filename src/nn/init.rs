//! What parameters are before the first step.

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal, Uniform};
use rand_pcg::Pcg64;

/// How a parameter tensor starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All elements the same.
    Constant(f32),
    /// Normal with the given standard deviation, redrawn beyond two of them.
    TruncatedNormal(f32),
    /// He initialisation by fan-out: truncated normal with deviation √(2 / (k·k·out)), as in the
    /// official L2RW code for convolutions.
    HeFanOut,
    /// He initialisation by fan-in: truncated normal with deviation √(2 / (k·k·in)).
    HeFanIn,
    /// Uniform between ±√(3 / in), as in the official L2RW code for linear layers.
    UniformFanIn,
}

impl Init {
    /// A tensor whose last two dimensions are input and output channels. The same seed and stream
    /// give the same values.
    pub(super) fn draw(self, shape: &[usize], seed: u64, stream: u64) -> Vec<f32> {
        let mut values = vec![0.0; values_len(shape)];
        self.fill(&mut values, shape, seed, stream);
        values
    }

    fn fill(self, values: &mut [f32], shape: &[usize], seed: u64, stream: u64) {
        let fan_out = |shape: &[usize]| match shape {
            [kernel @ .., _, out] => kernel.iter().product::<usize>() * out,
            _ => values_len(shape),
        };
        let fan_in = |shape: &[usize]| match shape {
            [inner @ .., _] => inner.iter().product::<usize>().max(1),
            [] => 1,
        };
        let he = |fan: usize| (2.0 / fan.max(1) as f64).sqrt();
        let mut rng = Pcg64::seed_from_u64(seed ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        match self {
            Self::Constant(value) => values.fill(value),
            Self::TruncatedNormal(deviation) => normal(values, deviation.into(), &mut rng),
            Self::HeFanOut => normal(values, he(fan_out(shape)), &mut rng),
            Self::HeFanIn => normal(values, he(fan_in(shape)), &mut rng),
            Self::UniformFanIn => {
                let bound = (3.0 / fan_in(shape) as f64).sqrt();
                if let Ok(uniform) = Uniform::new_inclusive(-bound, bound) {
                    values.fill_with(|| uniform.sample(&mut rng) as f32);
                }
            }
        }
    }
}

fn values_len(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn normal(values: &mut [f32], deviation: f64, rng: &mut Pcg64) {
    for value in values {
        let mut draw: f64 = StandardNormal.sample(rng);
        while draw.abs() > 2.0 {
            draw = StandardNormal.sample(rng);
        }
        *value = (draw * deviation) as f32;
    }
}
