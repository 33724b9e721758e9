//! Tables of cases: what a recording computes against what a twin says it should.

use std::fmt::Debug;

use l2rw::gpu::{ShaderChecks, TensorId, Tuning};

use super::device::{Bench, Submitted, offered};

/// Half the distance between neighbouring `f32` around 1: the error of one rounding.
const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

/// `|actual − expected| ≤ atol + rtol · |expected|`
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub atol: f64,
    pub rtol: f64,
}

impl Tolerance {
    /// No rounding at all: copies, selections, integers.
    pub const EXACT: Self = Self { atol: 0.0, rtol: 0.0 };

    /// A few roundings of the result itself.
    pub const ROUNDED: Self = Self { atol: 0.0, rtol: 8.0 * ROUNDING };

    /// `count` roundings of numbers up to `magnitude`.
    pub fn roundings(count: usize, magnitude: f64) -> Self {
        Self { atol: count as f64 * magnitude * ROUNDING, ..Self::ROUNDED }
    }

    /// Sums of sums of products up to `magnitude`: the innermost has `lens[0]` of them.
    ///
    /// A running sum of K numbers of random sign is about √K large and rounded K times, so its
    /// error grows like √K · √K. A sum of L of those is √(K·L) large, is rounded L times and
    /// inherits L independent errors: √(K·L) · (√K + √L). The bound is about ten standard
    /// deviations of that for numbers that are uniform in [−1, 1).
    pub fn sums(lens: &[usize], magnitude: f64) -> Self {
        let size = lens.iter().map(|&len| len as f64).product::<f64>().sqrt();
        let roundings = lens.iter().map(|&len| (len as f64).sqrt()).sum::<f64>();
        let atol = 2.0 * ROUNDING * magnitude * (2.0 + size * roundings);
        Self { atol, ..Self::ROUNDED }
    }

    /// [`Tolerance::sums`] of `len` products whose factors were rounded to f16 before.
    ///
    /// Rounding a number that is uniform in [−1, 1) to 11 binary digits changes it by 2⁻¹¹ / √21
    /// (root mean square), which changes a product of two by 0.18 · 2⁻¹¹ and a sum of K of those by
    /// √K times that. The bound is about ten standard deviations of it.
    pub fn rounded_sums(len: usize, magnitude: f64) -> Self {
        let exact = Self::sums(&[len], magnitude);
        let rounding = 2.0 * (len as f64).sqrt() * magnitude * (-11.0_f64).exp2();
        Self { atol: exact.atol + rounding, ..exact }
    }

    fn allows(self, actual: f64, expected: f64) -> bool {
        // What is not finite has no difference.
        if !expected.is_finite() {
            return actual == expected || (actual.is_nan() && expected.is_nan());
        }
        (actual - expected).abs() <= self.atol + self.rtol * expected.abs()
    }
}

enum Reference {
    Floats(Vec<f64>, Tolerance),
    Words(Vec<u32>),
}

impl Reference {
    /// Where and how `bits` first differ.
    fn difference(&self, bits: &[u32]) -> Option<String> {
        let len = match self {
            Self::Floats(expected, _) => expected.len(),
            Self::Words(expected) => expected.len(),
        };
        if bits.len() != len {
            return Some(format!("{} elements, expected {len}", bits.len()));
        }
        bits.iter().enumerate().find_map(|(index, &bits)| match self {
            Self::Floats(expected, tolerance) => {
                let (actual, expected) = (f64::from(f32::from_bits(bits)), expected[index]);
                (!tolerance.allows(actual, expected)).then(|| {
                    format!("[{index}] is {actual}, expected {expected} within {tolerance:?}")
                })
            }
            Self::Words(expected) => (bits != expected[index])
                .then(|| format!("[{index}] is {bits}, expected {}", expected[index])),
        })
    }
}

/// What a recording should have computed.
#[derive(Default)]
pub struct Expected {
    tensors: Vec<TensorId>,
    references: Vec<(&'static str, Reference)>,
}

impl Expected {
    pub fn floats(
        &mut self,
        what: &'static str,
        tensor: TensorId,
        reference: Vec<f64>,
        tolerance: Tolerance,
    ) {
        self.tensors.push(tensor);
        self.references.push((what, Reference::Floats(reference, tolerance)));
    }

    pub fn words(&mut self, what: &'static str, tensor: TensorId, reference: Vec<u32>) {
        self.tensors.push(tensor);
        self.references.push((what, Reference::Words(reference)));
    }

    /// Starts the recording.
    pub fn submit(self, bench: Bench, checks: ShaderChecks) -> Comparison {
        let results = bench.submit(checks, &self.tensors);
        Comparison { references: self.references, results, checks }
    }
}

/// A recording that was started, with what it should compute.
pub struct Comparison {
    references: Vec<(&'static str, Reference)>,
    results: Submitted,
    checks: ShaderChecks,
}

impl Comparison {
    /// Waits for the recording and describes every tensor that is not as expected.
    pub fn differences(self) -> Vec<String> {
        let results = self.results.read();
        let compared = self.references.iter().zip(&results);
        let differ = |((what, reference), bits): (&(&str, Reference), &Vec<u32>)| {
            reference.difference(bits).map(|d| format!("{:?}: {what}{d}", self.checks))
        };
        compared.filter_map(differ).collect()
    }
}

/// Records and runs every case in both tunings, one of them with checks and the other one without,
/// in turn, and reports all that fail.
#[track_caller]
pub fn assert_table<Case: Debug>(
    cases: &[Case],
    record: impl Fn(&Case, &mut Bench, &mut Expected),
) {
    assert_table_tuned(cases, [Tuning::GPU, Tuning::SOFTWARE].map(offered), record);
}

/// The same with tunings of the caller's.
#[track_caller]
pub fn assert_table_tuned<Case: Debug, const TUNINGS: usize>(
    cases: &[Case],
    mut tunings: [Tuning; TUNINGS],
    record: impl Fn(&Case, &mut Bench, &mut Expected),
) {
    let mut comparisons = Vec::new();
    for case in cases {
        let checks = [ShaderChecks::Trusted, ShaderChecks::Checked].into_iter().cycle();
        for (checks, tuning) in checks.zip(tunings) {
            let (mut bench, mut expected) = (Bench::new(), Expected::default());
            bench.rec.tune(tuning);
            record(case, &mut bench, &mut expected);
            comparisons.push((case, tuning, expected.submit(bench, checks)));
        }
        tunings.rotate_left(1);
    }
    // Only now is any of them waited for: both devices are busy until the last one is done.
    let failures: Vec<String> = comparisons
        .into_iter()
        .flat_map(|(case, tuning, comparison)| {
            let differences = comparison.differences().into_iter();
            differences.map(move |d| format!("{case:?} {tuning:?}\n    {d}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
