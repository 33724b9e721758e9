//! Batches from a data set on the device equal those of the twins.

use l2rw::data::sampling::{pcg_hash, permuted_index};
use l2rw::gpu::{ShaderChecks, TensorId};
use l2rw::ops::Step;
use l2rw::ops::batch::{self, Batch, DeviceDataset, Gather, Stream, ValueType};
use l2rw::reference::batch::{AugmentShape, Draw, augment, of_bytes};

use crate::common::device::Bench;
use crate::common::table::{Tolerance, assert_table};

const MEAN: [f64; 3] = [0.5, 0.25, 0.375];
const STD: [f64; 3] = [0.25, 0.5, 0.125];
const STEP: Step = Step {
    number: 11,
    seed: 0xC0FF_EE11,
    learning_rate: 0.0,
    momentum: 0.0,
    weight_decay: 0.0,
    train_epoch: 3,
    train_position: 6,
    clean_epoch: 5,
    clean_position: 2,
    train_images_first: 0,
    train_labels_first: 0,
    clean_images_first: 0,
    clean_labels_first: 0,
    first_correction: 0.0,
    second_correction: 0.0,
    padding: 0,
};

#[derive(Clone, Debug)]
struct Case {
    examples: usize,
    values: ValueType,
    /// Whether only the batch lies on the device.
    streamed: bool,
    images_per_piece: usize,
    n: usize,
    /// Slot of the first example.
    first: usize,
    gather: Gather,
    stream: Stream,
}

fn cases() -> Vec<Case> {
    let gather =
        |channels, crop_pad, flip| Gather { height: 4, width: 6, channels, crop_pad, flip };
    let case = |images_per_piece, n, gather, stream| Case {
        examples: 13,
        values: ValueType::Bytes,
        streamed: false,
        images_per_piece,
        n,
        first: 0,
        gather,
        stream,
    };
    let features = Gather { height: 1, width: 1, channels: 3, crop_pad: 0, flip: false };
    let bytes = vec![
        case(13, 5, gather(3, 0, false), Stream::Train),
        case(13, 7, gather(3, 2, true), Stream::Train),
        case(13, 5, gather(3, 2, true), Stream::Clean),
        case(13, 9, gather(1, 0, true), Stream::Clean),
        case(13, 9, gather(1, 3, false), Stream::Train),
        // Two pieces of the images.
        case(8, 7, gather(3, 1, true), Stream::Train),
        // In order, past the end of the set.
        case(13, 9, gather(1, 0, false), Stream::Sequential),
        case(8, 9, gather(3, 0, false), Stream::Sequential),
        case(13, 6, features, Stream::Train),
        // The later part of a batch.
        Case { first: 3, ..case(13, 4, gather(3, 2, true), Stream::Train) },
        Case { first: 2, ..case(8, 5, gather(1, 1, true), Stream::Clean) },
    ];
    let floats: Vec<Case> =
        bytes.iter().map(|case| Case { values: ValueType::Floats, ..case.clone() }).collect();
    let on_device = [bytes, floats].concat();
    let streamed: Vec<Case> =
        on_device.iter().map(|case| Case { streamed: true, ..case.clone() }).collect();
    [on_device, streamed].concat()
}

impl Case {
    fn image_len(&self) -> usize {
        self.gather.height * self.gather.width * self.gather.channels
    }

    fn bytes(&self) -> Vec<u8> {
        (0..(self.examples * self.image_len()) as u32).map(|i| pcg_hash(i) as u8).collect()
    }

    /// What the pictures consist of, before normalisation.
    fn images(&self) -> Vec<f64> {
        match self.values {
            ValueType::Bytes => of_bytes(&self.bytes()),
            // Beyond what bytes stand for, and exact as an f32.
            ValueType::Floats => {
                self.bytes().iter().map(|byte| f64::from(*byte) / 64.0 - 2.0).collect()
            }
        }
    }

    /// These images, as a piece of the data set holds them.
    fn words(&self, indices: impl Iterator<Item = usize>) -> Vec<u32> {
        let (bytes, images) = (self.bytes(), self.images());
        let places =
            indices.flat_map(|index| index * self.image_len()..(index + 1) * self.image_len());
        match self.values {
            ValueType::Bytes => packed(&places.map(|place| bytes[place]).collect::<Vec<u8>>()),
            ValueType::Floats => places.map(|place| (images[place] as f32).to_bits()).collect(),
        }
    }

    fn labels(&self) -> Vec<u32> {
        (0..self.examples as u32).map(|i| 100 + i).collect()
    }

    fn slots(&self) -> std::ops::Range<u32> {
        self.first as u32..(self.first + self.n) as u32
    }

    /// The example in each place of the batch.
    fn indices(&self) -> Vec<u32> {
        let len = self.examples as u32;
        self.slots()
            .map(|slot| {
                let seed = STEP.seed ^ self.stream as u32;
                match self.stream {
                    Stream::Train => {
                        permuted_index(seed, STEP.train_epoch, STEP.train_position + slot, len)
                    }
                    Stream::Clean => {
                        permuted_index(seed, STEP.clean_epoch, STEP.clean_position + slot, len)
                    }
                    Stream::Sequential => (STEP.train_position + slot).min(len - 1),
                }
            })
            .collect()
    }

    /// The crop of each place, from the hash that the kernel uses.
    fn draws(&self) -> Vec<Draw> {
        let offsets = 2 * self.gather.crop_pad as u32 + 1;
        let draw = |(slot, index): (u32, u32)| {
            let place = pcg_hash(slot * 2 + self.stream as u32);
            let random = pcg_hash(STEP.seed ^ pcg_hash(STEP.number ^ place));
            Draw {
                index: index as usize,
                oy: ((random >> 1) % offsets) as usize,
                ox: ((random >> 16) % offsets) as usize,
                flip: self.gather.flip && random & 1 == 1,
            }
        };
        self.slots().zip(self.indices()).map(draw).collect()
    }

    fn expected_images(&self) -> Vec<f64> {
        let Gather { height, width, channels, crop_pad, .. } = self.gather;
        let (out_height, out_width) = (height, width);
        let shape = AugmentShape { height, width, channels, pad: crop_pad, out_height, out_width };
        let (mean, std) = (&MEAN[..channels], &STD[..channels]);
        augment(&shape, &self.images(), &self.draws(), mean, std)
    }

    fn record(&self, bench: &mut Bench) -> Batch {
        let mut pieces: Vec<TensorId> = Vec::new();
        if self.streamed {
            let drawn = self.indices().into_iter().map(|index| index as usize);
            pieces.push(bench.integers(&self.words(drawn)));
        } else {
            for first in (0..self.examples).step_by(self.images_per_piece) {
                let end = self.examples.min(first + self.images_per_piece);
                pieces.push(bench.integers(&self.words(first..end)));
            }
        }
        let channels = self.gather.channels;
        let data = DeviceDataset {
            len: self.examples,
            values: self.values,
            pieces,
            images_per_piece: if self.streamed { self.examples } else { self.images_per_piece },
            streamed: self.streamed,
            labels: bench.integers(&self.labels()),
            normalisation: bench.floats(&[&MEAN[..channels], &STD[..channels]].concat()),
        };
        let step = bench.uniform(bytemuck::cast_slice(&[STEP]));
        let slots = self.first..self.first + self.n;
        batch::draw(&mut bench.rec, step, &data, slots, &self.gather, self.stream)
    }
}

/// Four bytes to an element, the first in the lowest bits.
fn packed(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks(4)
        .map(|chunk| chunk.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)))
        .collect()
}

#[test]
fn batches_are_drawn_cropped_flipped_and_normalised_as_by_the_twins() {
    assert_table(&cases(), |case, bench, expected| {
        let drawn = case.record(bench);
        let indices = case.indices();
        let labels = indices.iter().map(|&index| case.labels()[index as usize]).collect();
        expected.words("indices", drawn.indices.expect("a drawn batch has indices"), indices);
        expected.words("labels", drawn.labels, labels);
        let tolerance = Tolerance::roundings(3, 8.0);
        expected.floats("images", drawn.images, case.expected_images(), tolerance);
    });
}

#[test]
fn the_cases_crop_at_every_edge_and_flip_some_images_and_not_others() {
    let draws: Vec<Draw> = cases()[1].draws();
    assert!(draws.iter().any(|d| d.flip) && draws.iter().any(|d| !d.flip), "{draws:?}");
    let pad = cases()[1].gather.crop_pad;
    for side in [|d: &Draw| d.oy, |d: &Draw| d.ox] {
        assert!(draws.iter().any(|d| side(d) < pad) && draws.iter().any(|d| side(d) > pad));
    }
}

#[test]
fn another_step_crops_the_same_images_differently() {
    let case = &cases()[1];
    let images = |number: u32| {
        let mut bench = Bench::new();
        let step = Step { number, ..STEP };
        let step = bench.uniform(bytemuck::cast_slice(&[step]));
        let data = DeviceDataset {
            len: case.examples,
            values: case.values,
            pieces: vec![bench.integers(&case.words(0..case.examples))],
            images_per_piece: case.examples,
            streamed: false,
            labels: bench.integers(&case.labels()),
            normalisation: bench.floats(&[MEAN, STD].concat()),
        };
        let drawn = batch::draw(&mut bench.rec, step, &data, 0..case.n, &case.gather, case.stream);
        bench.run_bits(ShaderChecks::Trusted, &[drawn.images]).remove(0)
    };
    assert_eq!(images(11), images(11));
    assert_ne!(images(11), images(12));
}
