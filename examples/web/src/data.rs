//! The pictures that are trained on: drawn here, or the visitor's own.

use l2rw::data::{self, Corruption, Dataset};

use crate::Failure;

/// Height and width of a picture.
pub const SIDE: usize = 16;

/// Pictures as the page hands them over, or as they are drawn.
pub struct Pictures {
    train: Dataset,
    /// Whose labels are right.
    test: Dataset,
}

/// What a session learns from.
pub(crate) struct Sets {
    pub train: Dataset,
    pub clean: Dataset,
    pub test: Dataset,
    /// Which labels were made wrong.
    pub wrong: Vec<bool>,
    /// Place of each training example among the pictures.
    pub places: Vec<usize>,
}

impl Pictures {
    /// Five classes of drawn shapes.
    pub fn drawn(seed: u64) -> Self {
        let source = data::synthetic(seed, 300, 60);
        Self { train: shrunk(&source.train), test: shrunk(&source.test) }
    }

    /// The visitor's: `images` are `[n, SIDE, SIDE, 3]` bytes. Every fifth is kept for the test.
    ///
    /// # Errors
    /// When a class has fewer than ten pictures, or sizes do not fit together.
    pub fn own(names: Vec<String>, images: Vec<u8>, labels: Vec<u32>) -> Result<Self, Failure> {
        let all = Dataset::new("your pictures", [SIDE, SIDE, 3], names, images, labels)?;
        let mut seen = vec![0_usize; all.classes()];
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (index, &label) in all.labels.iter().enumerate() {
            seen[label as usize] += 1;
            let part = if seen[label as usize].is_multiple_of(5) { &mut test } else { &mut train };
            part.push(index);
        }
        if let Some(class) = seen.iter().position(|count| *count < 10) {
            let (name, count) = (&all.class_names[class], seen[class]);
            return Err(format!("“{name}” has {count} pictures; each class needs 10").into());
        }
        Ok(Self { train: all.subset(&train)?, test: all.subset(&test)? })
    }

    /// Sets trusted examples aside and gives `noise` of the others the label of the first class.
    pub(crate) fn split(&self, per_class: usize, noise: f64, seed: u64) -> Result<Sets, Failure> {
        let (all, classes) = (&self.train, self.train.classes());
        let split = data::stratified_clean_split(&all.labels, classes, per_class, seed)?;
        let clean = all.subset(&split.clean)?;
        let mut train = all.subset(&split.train)?;
        let corruption = Corruption::BackgroundFlip { share: noise, background: 0 };
        let wrong = data::corruption::apply(&mut train.labels, classes, &corruption, seed)?;
        Ok(Sets { train, clean, test: self.test.clone(), wrong, places: split.train })
    }
}

/// The first five classes in half the size: each pixel is the mean of four.
fn shrunk(set: &Dataset) -> Dataset {
    let kept: Vec<usize> = (0..set.len()).filter(|&i| set.labels[i] < 5).collect();
    let row = set.width * set.channels;
    let mut images = Vec::with_capacity(kept.len() * SIDE * SIDE * set.channels);
    for &index in &kept {
        let image = set.image(index).unwrap_or_default();
        for (y, x) in (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (y, x))) {
            for c in 0..set.channels {
                let at =
                    |dy, dx| u32::from(image[(2 * y + dy) * row + (2 * x + dx) * set.channels + c]);
                images.push(((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + 2) / 4) as u8);
            }
        }
    }
    Dataset {
        name: set.name.clone(),
        height: SIDE,
        width: SIDE,
        channels: set.channels,
        class_names: set.class_names[..5].to_vec(),
        labels: kept.iter().map(|&i| set.labels[i]).collect(),
        values: images.into(),
    }
}
