//! Dropout keeps to its rate and its mask, and equals the twin.

use l2rw::data::sampling::pcg_hash;
use l2rw::gpu::{ShaderChecks, TensorId};
use l2rw::ops::{Step, dropout};
use l2rw::reference;

use crate::common::device::Bench;
use crate::common::table::{Tolerance, assert_table};
use crate::common::values::{INPUTS, LENGTHS};

const RATE: f32 = 0.3;

const SEED: u32 = 7;

fn record_dropout(
    bench: &mut Bench,
    number: u32,
    stream: u32,
    first: usize,
    x: &[f64],
) -> TensorId {
    let step = Step { number, seed: SEED, ..Step::default() };
    let step = bench.uniform(bytemuck::cast_slice(&[step]));
    let x = bench.floats(x);
    dropout::apply(&mut bench.rec, step, RATE, stream, first, x)
}

/// What dropout makes of ones: 0 where an element is dropped.
fn mask(number: u32, stream: u32, len: usize) -> Vec<f64> {
    let mut bench = Bench::new();
    let y = record_dropout(&mut bench, number, stream, 0, &vec![1.0; len]);
    bench.run(ShaderChecks::Trusted, &[y]).remove(0)
}

/// The mask from the hash that the kernel uses.
fn hashed_mask(number: u32, stream: u32, len: usize) -> Vec<f64> {
    let key = pcg_hash(SEED ^ pcg_hash(number ^ pcg_hash(stream)));
    let kept = |i| (pcg_hash(key ^ pcg_hash(i)) >> 8) as f32 / 16_777_216.0 >= RATE;
    let factor = |i| if kept(i) { 1.0 / (1.0 - f64::from(RATE)) } else { 0.0 };
    (0..len as u32).map(factor).collect()
}

#[test]
fn dropout_keeps_its_mask_within_a_step_and_layer_and_changes_it_between_them() {
    let len = 20_000;
    let first = mask(3, 1, len);
    let dropped = first.iter().filter(|&&v| v == 0.0).count() as f64 / len as f64;
    // Four standard deviations of a share of 0.3 of 20,000.
    assert!((dropped - f64::from(RATE)).abs() < 0.013, "{dropped}");
    assert_eq!(first, mask(3, 1, len));
    for other in [mask(4, 1, len), mask(3, 2, len)] {
        let agreeing = first.iter().zip(&other).filter(|(a, b)| a == b).count() as f64;
        // Independent masks agree with probability 0.7² + 0.3².
        assert!((agreeing / len as f64 - 0.58).abs() < 0.014, "{agreeing} of {len}");
    }
}

#[test]
fn dropout_multiplies_with_its_mask_as_the_twin_does() {
    let cases = INPUTS.map(|input| LENGTHS.map(|len| input(1, len)).to_vec()).concat();
    assert_table(&cases, |x, bench, expected| {
        for (name, first) in [("output", 0), ("output of the later part of a batch", 11)] {
            let y = record_dropout(bench, 3, 1, first, x);
            let mask = &hashed_mask(3, 1, first + x.len())[first..];
            let reference = reference::dropout::forward(x, mask);
            expected.floats(name, y, reference, Tolerance::ROUNDED);
        }
    });
}
