//! Examples drawn by a rule, and mixtures of them, equal those of the twin.

use l2rw::gpu::ElementType;
use l2rw::ops::batch::{DeviceDataset, ValueType};
use l2rw::ops::sample::{self, Rule};
use l2rw::ops::{Step, batch};
use l2rw::reference;

use crate::common::device::Bench;
use crate::common::table::{Tolerance, assert_table};
use crate::common::values::values;

const SEED: u32 = 77;

#[derive(Debug)]
struct Case {
    dataset: usize,
    n: usize,
    rule: Rule,
    order: Vec<u32>,
    starts: Vec<u32>,
    number: u32,
    epoch: u32,
    position: u32,
}

fn cases() -> Vec<Case> {
    let whole: Vec<u32> = (0..90).chain([5, 5, 89, 17, 3]).collect();
    let case = |n, rule, order: &[u32], starts: &[u32], number| Case {
        dataset: 90,
        n,
        rule,
        order: order.to_vec(),
        starts: starts.to_vec(),
        number,
        epoch: number / 3,
        position: number % 3,
    };
    vec![
        case(1, Rule::Passes, &[7], &[0, 1], 0),
        case(67, Rule::Passes, &whole, &[0, 95], 4),
        case(5, Rule::Passes, &[8, 3, 80, 1, 2, 9, 4], &[0, 7], 2),
        case(3, Rule::ClassThenExample, &[4], &[0, 1], 9),
        case(130, Rule::ClassThenExample, &whole, &[0, 1, 60, 95], 100_000),
    ]
}

fn uniform(case: &Case, bench: &mut Bench) -> l2rw::gpu::TensorId {
    let step = Step {
        number: case.number,
        seed: SEED,
        train_epoch: case.epoch,
        train_position: case.position,
        ..Step::default()
    };
    bench.uniform(bytemuck::cast_slice(&[step]))
}

fn places(case: &Case) -> Vec<usize> {
    let place = |slot: u32| match case.rule {
        Rule::Passes => {
            let len = case.order.len();
            reference::sample::pass_place(SEED, case.epoch, case.position, slot, len)
        }
        Rule::ClassThenExample => {
            reference::sample::class_place(SEED, case.number, slot, &case.starts)
        }
    };
    (0..case.n as u32).map(place).collect()
}

#[test]
fn examples_are_drawn_as_by_the_twin() {
    assert_table(&cases(), |case, bench, expected| {
        let labels: Vec<u32> = (0..case.dataset as u32).map(|i| i * i % 7).collect();
        let step = uniform(case, bench);
        let data = DeviceDataset {
            len: case.dataset,
            values: ValueType::Bytes,
            pieces: Vec::new(),
            images_per_piece: 1,
            streamed: false,
            labels: bench.integers(&labels),
            normalisation: step,
        };
        let (order, starts) = (bench.integers(&case.order), bench.integers(&case.starts));
        let rec = &mut bench.rec;
        let picked = sample::draw(rec, step, &data, case.n, order, starts, case.rule);
        let places = places(case);
        let indices: Vec<u32> = places.iter().map(|place| case.order[*place]).collect();
        let drawn = indices.iter().map(|index| labels[*index as usize]).collect();
        expected.words("labels", picked.drawn.labels, drawn);
        expected.words("indices", picked.drawn.indices, indices);
        expected.words("places", picked.places, places.iter().map(|p| *p as u32).collect());
    });
}

#[test]
fn new_examples_lie_between_two_old_ones_as_by_the_twin() {
    assert_table(&cases(), |case, bench, expected| {
        let (count, image) = (3, 5);
        let places = places(case);
        let indices: Vec<u32> = places.iter().map(|place| case.order[*place]).collect();
        let neighbours: Vec<u32> =
            (0..(case.dataset * count) as u32).map(|k| k * 31 % 90).collect();
        let step = uniform(case, bench);
        let picked = sample::Picked {
            drawn: batch::DrawnExamples {
                first_slot: 0,
                indices: bench.integers(&indices),
                labels: bench.rec.external("labels", ElementType::U32, case.n),
            },
            places: bench.integers(&places.iter().map(|p| *p as u32).collect::<Vec<u32>>()),
        };
        let table = bench.integers(&neighbours);
        let (images, others) = (values(1, case.n * image), values(2, case.n * image));
        let (images_in, others_in) = (bench.floats(&images), bench.floats(&others));
        let rec = &mut bench.rec;
        let partners = sample::partners(rec, step, &picked, table, count);
        let mixed = sample::mix(rec, step, &picked, case.dataset, images_in, others_in);
        let (mut partner, mut twin) = (Vec::new(), Vec::new());
        for (slot, place) in places.iter().enumerate() {
            let (number, index) = (case.number, indices[slot] as usize);
            let slot32 = slot as u32;
            let found = reference::sample::partner(SEED, number, slot32, index, &neighbours, count);
            partner.push(found as u32);
            let range = slot * image..(slot + 1) * image;
            let (own, other) = (&images[range.clone()], &others[range]);
            match *place < case.dataset {
                true => twin.extend_from_slice(own),
                false => twin.extend(reference::sample::mix(SEED, number, slot32, own, other)),
            }
        }
        expected.words("partners", partners.indices, partner);
        expected.floats("mixed", mixed, twin, Tolerance::roundings(4, 2.0));
    });
}
