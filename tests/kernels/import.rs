//! Batches from the caller's buffers equal those of the twin, wherever they begin.

use l2rw::gpu::{ElementType, TensorId};
use l2rw::ops::Step;
use l2rw::ops::batch::ValueType;
use l2rw::ops::import::{self, ImportOffset};
use l2rw::reference;

use crate::common::device::Bench;
use crate::common::table::{Tolerance, assert_table};

#[derive(Debug)]
struct Case {
    len: usize,
    channels: usize,
    /// Where the data begins, in values.
    first: usize,
    source: ImportOffset,
}

fn cases() -> Vec<Case> {
    let case = |len, channels, first, source| Case { len, channels, first, source };
    vec![
        case(1, 1, 0, ImportOffset::TrainImages),
        case(75, 3, 1, ImportOffset::TrainImages),
        case(64, 1, 255, ImportOffset::CleanImages),
        case(1_001, 7, 6, ImportOffset::TrainLabels),
        case(130, 2, 131, ImportOffset::CleanLabels),
    ]
}

fn words(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| i.wrapping_mul(0x9E37_79B9) ^ (i << 7)).collect()
}

/// The step with `first` at one source and offsets that would be noticed at the others.
fn step(bench: &mut Bench, case: &Case) -> TensorId {
    let mut first = [9_000_001, 9_000_002, 9_000_003, 9_000_004];
    first[case.source as usize] = case.first as u32;
    let [train_images_first, train_labels_first, clean_images_first, clean_labels_first] = first;
    let step = Step {
        train_images_first,
        train_labels_first,
        clean_images_first,
        clean_labels_first,
        ..Step::default()
    };
    bench.uniform(bytemuck::cast_slice(&[step]))
}

#[test]
fn labels_that_are_none_of_the_classes_become_one_label() {
    assert_table(&cases(), |case, bench, expected| {
        let step = step(bench, case);
        let mut data: Vec<u32> = (0..(case.first + case.len) as u32).map(|i| i % 9).collect();
        data[case.first + case.len / 2] = u32::MAX;
        let source = bench.integers(&data);
        let out = bench.rec.transient_of("out", ElementType::U32, case.len);
        import::labels(&mut bench.rec, step, case.source, 7, source, out);
        expected.words("labels", out, reference::import::labels(&data, case.first, 7, case.len));
    });
}

#[test]
fn images_are_normalised_from_any_byte_or_word_on() {
    let of = |values| cases().into_iter().map(move |case| (case, values));
    let cases: Vec<_> = of(ValueType::Bytes).chain(of(ValueType::Floats)).collect();
    assert_table(&cases, |(case, values), bench, expected| {
        let step = step(bench, case);
        let count = case.first + case.len;
        let data = match values {
            ValueType::Bytes => words(count.div_ceil(4)),
            ValueType::Floats => {
                (0..count).map(|i| ((i * 7_919 % 509) as f32 / 100.0 - 2.0).to_bits()).collect()
            }
        };
        let source = bench.integers(&data);
        let c = case.channels;
        let normalisation: Vec<f64> =
            (0..2 * c).map(|k| if k < c { 0.25 } else { 0.5 } + 0.125 * (k % c) as f64).collect();
        let normalisation_in = bench.floats(&normalisation);
        let out = bench.rec.transient("out", case.len);
        import::images(&mut bench.rec, step, case.source, *values, source, normalisation_in, out);
        let twin = reference::import::images(&data, *values, case.first, &normalisation, case.len);
        expected.floats("images", out, twin, Tolerance::roundings(4, 8.0));
    });
}
