//! A data set made out of a seed, for trying things where no other is at hand.
//!
//! Only operations that IEEE 754 rounds exactly are used (no sines or exponentials), so that the
//! images are the same bytes on every platform.

use rand::RngExt;
use rand_pcg::Pcg64;

use super::{Dataset, Purpose, Source, seeded};

const SIDE: usize = 32;
const CLASS_NAMES: [&str; 10] = [
    "disc",
    "ring",
    "square",
    "triangle",
    "cross",
    "horizontal stripes",
    "vertical stripes",
    "diagonal stripes",
    "checkerboard",
    "two blobs",
];

/// Ten classes of shapes and textures in 32×32 RGB, all drawn from `seed`.
///
/// Position, scale, rotation and colours are random, the background is cluttered, things stand in
/// front, and there is noise: neither the mean colour nor any single pixel gives a class away.
/// Examples are in class order 0, 1, … 9, 0, 1, …; the first examples of a split are the same
/// whatever the sizes. A size of 0 gives a split without examples.
pub fn synthetic(seed: u64, train_per_class: usize, test_per_class: usize) -> Source {
    Source {
        train: split("train", train_per_class, seeded(seed, Purpose::SyntheticTrain)),
        test: split("test", test_per_class, seeded(seed, Purpose::SyntheticTest)),
    }
}

fn split(name: &str, per_class: usize, mut rng: Pcg64) -> Dataset {
    let mut images = Vec::new();
    let mut labels = Vec::new();
    for _ in 0..per_class {
        for class in 0..CLASS_NAMES.len() {
            draw(class, &mut rng, &mut images);
            labels.push(class as u32);
        }
    }
    Dataset {
        name: format!("synthetic {name}"),
        height: SIDE,
        width: SIDE,
        channels: 3,
        class_names: CLASS_NAMES.map(str::to_owned).to_vec(),
        values: images.into(),
        labels,
    }
}

/// Red, green and blue from 0 to 255.
type Colour = [f32; 3];

type Canvas = [Colour; SIDE * SIDE];

/// Appends an image of `class`, `[32, 32, 3]`, to `images`.
fn draw(class: usize, rng: &mut Pcg64, images: &mut Vec<u8>) {
    let corners = [colour(rng, 0.0, 140.0), colour(rng, 0.0, 140.0), colour(rng, 0.0, 140.0)];
    let mut canvas = gradient(&corners);
    for _ in 0..rng.random_range(0..4_u32) {
        draw_clutter(&mut canvas, rng);
    }
    // Shapes are lighter than what is behind them, in any hue.
    let ink = colour(rng, 105.0, 255.0);
    let place = Placement::of_class(class, rng);
    let texture = Texture::random(rng);
    place.paint(&mut canvas, ink, |u, v| distance(class, &texture, u, v));
    if rng.random_bool(0.3) {
        draw_bar(&mut canvas, rng);
    }
    if rng.random_bool(0.3) {
        draw_clutter(&mut canvas, rng);
    }
    let noise = uniform(rng, 3.0, 15.0);
    for value in canvas.as_flattened() {
        // Rounds to the nearest level; the cast stops at 0 and 255.
        images.push((value + noise * bell(rng) + 0.5) as u8);
    }
}

fn uniform(rng: &mut Pcg64, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// Nearly a standard normal number: the sum of four uniform ones, standardised.
fn bell(rng: &mut Pcg64) -> f32 {
    let bits = rng.random::<u64>();
    let sum = (0..4).map(|part| (bits >> (16 * part) & 0xffff) as u32).sum::<u32>();
    // Each part has a mean of 65,535/2 and a standard deviation of 65,536/√12.
    (sum as f32 - 131_070.0) / 37_837.23
}

fn colour(rng: &mut Pcg64, low: f32, high: f32) -> Colour {
    [(); 3].map(|()| uniform(rng, low, high))
}

fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    [0, 1, 2].map(|channel| from[channel] + share * (to[channel] - from[channel]))
}

/// A linear change of colour over the canvas, given at three of its corners.
fn gradient(corners: &[Colour; 3]) -> Canvas {
    let [origin, right, below] = *corners;
    std::array::from_fn(|pixel| {
        let x = (pixel % SIDE) as f32 / SIDE as f32;
        let y = (pixel / SIDE) as f32 / SIDE as f32;
        [0, 1, 2]
            .map(|c| origin[c] + 0.5 * (x * (right[c] - origin[c]) + y * (below[c] - origin[c])))
    })
}

/// Where a shape of unit size goes: moved, turned and stretched.
struct Placement {
    centre: [f32; 2],
    /// Pixels a unit, along each axis of the shape.
    scale: [f32; 2],
    cosine: f32,
    sine: f32,
}

impl Placement {
    fn of_class(class: usize, rng: &mut Pcg64) -> Self {
        let size = uniform(rng, 8.0, 11.5);
        let stretch = uniform(rng, 0.85, 1.15);
        let middle = SIDE as f32 / 2.0;
        // Only the direction tells stripes apart, so textures are tilted, not turned.
        let (cosine, sine) = if (5..=8).contains(&class) { tilt(rng) } else { turn(rng) };
        Self {
            centre: [(); 2].map(|()| middle + uniform(rng, -4.0, 4.0)),
            scale: [size * stretch, size / stretch],
            cosine,
            sine,
        }
    }

    /// Paints `ink` where `distance`, in units of the shape, is negative, with soft edges.
    fn paint(&self, canvas: &mut Canvas, ink: Colour, distance: impl Fn(f32, f32) -> f32) {
        let pixels_a_unit = self.scale[0].min(self.scale[1]);
        for (pixel, value) in canvas.iter_mut().enumerate() {
            let x = (pixel % SIDE) as f32 + 0.5 - self.centre[0];
            let y = (pixel / SIDE) as f32 + 0.5 - self.centre[1];
            let u = (self.cosine * x + self.sine * y) / self.scale[0];
            let v = (self.cosine * y - self.sine * x) / self.scale[1];
            let coverage = (0.5 - distance(u, v) * pixels_a_unit).clamp(0.0, 1.0);
            *value = mix(*value, ink, coverage);
        }
    }
}

/// Cosine and sine of an angle of up to 12 degrees either way.
fn tilt(rng: &mut Pcg64) -> (f32, f32) {
    let sine = uniform(rng, -0.2, 0.2);
    ((1.0 - sine * sine).sqrt(), sine)
}

/// Cosine and sine of any angle.
fn turn(rng: &mut Pcg64) -> (f32, f32) {
    // A point of the square scaled to the circle. Not quite uniform, which nothing here needs.
    let [x, y] = [(); 2].map(|()| uniform(rng, -1.0, 1.0));
    let length = (x * x + y * y).sqrt();
    if length > 0.01 { (x / length, y / length) } else { (1.0, 0.0) }
}

/// The grain of a striped or chequered patch.
struct Texture {
    /// Periods a unit.
    frequency: f32,
    /// From 0 to 1.
    phase: [f32; 2],
    /// Diagonals rise for 1 and fall for -1.
    slant: f32,
    round: bool,
}

impl Texture {
    fn random(rng: &mut Pcg64) -> Self {
        Self {
            frequency: uniform(rng, 1.2, 1.9),
            phase: [(); 2].map(|()| uniform(rng, 0.0, 1.0)),
            slant: if rng.random_bool(0.5) { 1.0 } else { -1.0 },
            round: rng.random_bool(0.5),
        }
    }

    /// Distance to the nearest of the stripes across the coordinate `w`.
    fn stripes(&self, w: f32, phase: f32) -> f32 {
        let position = w * self.frequency + phase;
        (0.25 - (position - position.floor() - 0.5).abs()) / self.frequency
    }

    fn patch(&self, u: f32, v: f32) -> f32 {
        if self.round { (u * u + v * v).sqrt() - 1.1 } else { rectangle(u, v, 1.0, 1.0) }
    }
}

fn rectangle(u: f32, v: f32, half_width: f32, half_height: f32) -> f32 {
    (u.abs() - half_width).max(v.abs() - half_height)
}

/// Distance of a point from the shape of `class`, negative inside.
fn distance(class: usize, texture: &Texture, u: f32, v: f32) -> f32 {
    const HALF_ROOT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
    const HALF_ROOT_3: f32 = 0.866_025_4;
    let radius = (u * u + v * v).sqrt();
    let [first, second] = texture.phase;
    match class {
        0 => radius - 0.95,
        1 => (radius - 0.78).abs() - 0.24,
        2 => rectangle(u, v, 0.85, 0.85),
        3 => v.max(HALF_ROOT_3 * u - 0.5 * v).max(-HALF_ROOT_3 * u - 0.5 * v) - 0.6,
        4 => rectangle(u, v, 1.1, 0.3).min(rectangle(u, v, 0.3, 1.1)),
        5 => texture.stripes(v, first).max(texture.patch(u, v)),
        6 => texture.stripes(u, first).max(texture.patch(u, v)),
        7 => {
            let across = HALF_ROOT_2 * (u + texture.slant * v);
            texture.stripes(across, first).max(texture.patch(u, v))
        }
        8 => {
            let (rows, columns) = (texture.stripes(v, first), texture.stripes(u, second));
            let either_not_both = rows.min(columns).max(-rows.max(columns));
            either_not_both.max(texture.patch(u, v))
        }
        _ => {
            let blob = |centre: f32| ((u - centre) * (u - centre) + v * v).sqrt() - 0.48;
            blob(-0.65).min(blob(0.65))
        }
    }
}

/// A small disc or rectangle anywhere.
fn draw_clutter(canvas: &mut Canvas, rng: &mut Pcg64) {
    let (cosine, sine) = turn(rng);
    let place = Placement {
        centre: [(); 2].map(|()| uniform(rng, 0.0, SIDE as f32)),
        scale: [(); 2].map(|()| uniform(rng, 1.0, 4.5)),
        cosine,
        sine,
    };
    let ink = colour(rng, 0.0, 200.0);
    if rng.random_bool(0.5) {
        place.paint(canvas, ink, |u, v| (u * u + v * v).sqrt() - 1.0);
    } else {
        place.paint(canvas, ink, |u, v| rectangle(u, v, 1.0, 1.0));
    }
}

/// A bar across the canvas, near its middle.
fn draw_bar(canvas: &mut Canvas, rng: &mut Pcg64) {
    let (cosine, sine) = turn(rng);
    let middle = SIDE as f32 / 2.0;
    let place = Placement {
        centre: [(); 2].map(|()| middle + uniform(rng, -8.0, 8.0)),
        scale: [uniform(rng, 1.0, 2.5), 2.0 * SIDE as f32],
        cosine,
        sine,
    };
    place.paint(canvas, colour(rng, 0.0, 200.0), |u, v| rectangle(u, v, 1.0, 1.0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn bytes(data: &Dataset) -> &[u8] {
        data.values.as_bytes().unwrap()
    }

    #[test]
    fn every_class_has_the_requested_number_of_examples() {
        let source = synthetic(1, 3, 2);
        for (data, per_class) in [(&source.train, 3), (&source.test, 2)] {
            assert!(data.name.starts_with("synthetic"));
            assert_eq!(data.len(), 10 * per_class);
            assert_eq!(data.values.len(), data.len() * data.example_len());
            for class in 0..10 {
                let count = data.labels.iter().filter(|&&label| label == class).count();
                assert_eq!(count, per_class, "class {class}");
            }
        }
    }

    #[test]
    fn a_size_of_zero_gives_a_split_without_examples() {
        let source = synthetic(1, 0, 1);
        assert!(source.train.is_empty() && source.train.values.is_empty());
        assert_eq!(source.test.len(), 10);
    }

    #[test]
    fn seeds_and_splits_have_images_of_their_own_and_sizes_do_not_change_them() {
        let first = |data: &Dataset| bytes(data)[..30 * SIDE * SIDE].to_vec();
        let source = synthetic(1, 4, 4);
        assert_eq!(first(&source.train), first(&synthetic(1, 2, 0).train));
        assert_ne!(first(&source.train), first(&synthetic(2, 2, 0).train));
        assert_ne!(first(&source.train), first(&source.test));
    }

    #[test]
    fn the_images_are_the_same_bytes_on_every_platform() {
        let digest = Sha256::digest(bytes(&synthetic(42, 10, 0).train));
        assert_eq!(digest[..8], [139, 56, 237, 62, 58, 228, 184, 249]);
    }

    /// Mean red, green and blue of an image.
    fn mean_colour(image: &[u8]) -> [f64; 3] {
        [0, 1, 2].map(|channel| {
            let levels = image.iter().skip(channel).step_by(3).map(|&level| f64::from(level));
            levels.sum::<f64>() / (SIDE * SIDE) as f64
        })
    }

    #[test]
    fn the_mean_colour_gives_no_class_away() {
        let source = synthetic(1, 200, 100);
        let means = |data: &Dataset| {
            bytes(data).chunks(data.example_len()).map(mean_colour).collect::<Vec<_>>()
        };
        let (train, test) = (means(&source.train), means(&source.test));
        let centres = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|class| {
            [0, 1, 2]
                .map(|c| train.iter().skip(class).step_by(10).map(|m| m[c]).sum::<f64>() / 200.0)
        });
        let nearest = |colour: &[f64; 3]| {
            let distance = |centre: &[f64; 3]| {
                centre.iter().zip(colour).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
            };
            (0..10).min_by(|&a, &b| distance(&centres[a]).total_cmp(&distance(&centres[b])))
        };
        let right = (0..1_000).filter(|&i| nearest(&test[i]) == Some(i % 10)).count();
        // 100 by chance, standard deviation 9.5.
        assert!(right < 150, "{right} of 1,000 recognised by their mean colour");
    }
}
