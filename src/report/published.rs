//! The figures of the paper, to stand beside measured ones.
//!
//! Ren, Zeng, Yang and Urtasun, *Learning to Reweight Examples for Robust Deep Learning* (ICML
//! 2018), Tables 1 and 2: test accuracy with 40 % of the training labels flipped. Shu et al.,
//! *Meta-Weight-Net* (NeurIPS 2019), Table 1: test accuracy on long tails.

/// How the training labels were corrupted, and with it which of the paper's tables applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Table 1: labels flipped to any other class, WRN-28-10, 1,000 clean images.
    UniformFlip,
    /// Table 2: labels flipped to one background class, ResNet-32, 10 clean images a class.
    BackgroundFlip,
    /// Meta-Weight-Net's Table 1: class sizes fall exponentially, ResNet-32, 10 clean
    /// images a class.
    LongTail {
        /// Size of the largest class over that of the smallest.
        factor: u32,
    },
}

impl Setting {
    /// Whose table it is, and what intervals are.
    pub fn paper(self) -> (&'static str, &'static str) {
        match self {
            Self::LongTail { .. } => ("Shu et al. 2019", "single runs"),
            _ => ("Ren et al. 2018", "mean and 95 % interval of 5 splits"),
        }
    }

    /// The table, network and length of training behind the figures, for footnotes.
    pub fn provenance(self) -> &'static str {
        match self {
            Self::UniformFlip => "Table 1, UniformFlip 40 %, WRN-28-10, 60,000 steps",
            Self::BackgroundFlip => "Table 2, BackgroundFlip 40 %, ResNet-32, 80,000 steps",
            Self::LongTail { .. } => {
                "Table 1, long tail, ResNet-32, 100 passes, best of all passes"
            }
        }
    }
}

/// The data set of a published figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedDataset {
    /// CIFAR-10.
    Cifar10,
    /// CIFAR-100.
    Cifar100,
}

/// A published test accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// Mean over five random splits, per cent.
    pub mean: f64,
    /// Half-width of the 95 % confidence interval, percentage points; `None` where the paper quotes
    /// another paper, which gave none.
    pub interval: Option<f64>,
}

type Row = (&'static str, Published, Published);

const fn row(name: &'static str, cifar10: (f64, f64), cifar100: (f64, f64)) -> Row {
    (
        name,
        Published { mean: cifar10.0, interval: Some(cifar10.1) },
        Published { mean: cifar100.0, interval: Some(cifar100.1) },
    )
}

const fn quoted(name: &'static str, cifar10: f64, cifar100: f64) -> Row {
    (
        name,
        Published { mean: cifar10, interval: None },
        Published { mean: cifar100, interval: None },
    )
}

const UNIFORM_FLIP: [Row; 10] = [
    row("baseline", (67.97, 0.62), (50.66, 0.24)),
    row("reedhard", (69.66, 1.21), (51.34, 0.17)),
    row("smodel", (70.64, 3.09), (49.10, 0.58)),
    quoted("mentornet", 76.6, 56.9),
    row("random", (86.06, 0.32), (58.01, 0.37)),
    row("cleanonly", (46.64, 3.90), (9.94, 0.82)),
    row("baselineft", (78.66, 0.44), (54.52, 0.40)),
    quoted("mentornetft", 78.0, 59.0),
    row("randomft", (86.55, 0.24), (58.54, 0.52)),
    row("l2rw", (86.92, 0.19), (61.34, 2.06)),
];

const BACKGROUND_FLIP: [Row; 16] = [
    row("baseline", (59.54, 2.16), (37.82, 0.69)),
    row("baselinees", (64.96, 1.19), (39.08, 0.65)),
    row("random", (69.51, 1.36), (36.56, 0.44)),
    // The paper prints the same CIFAR-100 cell for Weighted as for Random: one of them is suspect.
    row("weighted", (79.17, 1.36), (36.56, 0.44)),
    row("reedsoftes", (63.47, 1.05), (38.44, 0.90)),
    row("reedhardes", (65.22, 1.06), (39.03, 0.55)),
    row("smodel", (58.60, 2.33), (37.02, 0.34)),
    row("smodelconf", (68.93, 1.09), (46.72, 1.87)),
    row("smodelconfes", (79.24, 0.56), (54.50, 2.51)),
    row("cleanonly", (15.90, 3.32), (8.06, 0.76)),
    row("baselineft", (82.82, 0.93), (54.23, 1.75)),
    row("baselineesft", (85.19, 0.46), (55.22, 1.40)),
    row("weightedft", (85.98, 0.47), (53.99, 1.62)),
    row("smodelconfft", (81.90, 0.85), (53.11, 1.33)),
    row("smodelconfesft", (85.86, 0.63), (55.75, 1.26)),
    row("l2rw", (86.73, 0.48), (59.30, 0.60)),
];

/// A method with its figures for the factors 200, 100, 50, 20 and 10.
type LongTailRow = (&'static str, [f64; 5], [f64; 5]);

const LONG_TAIL_FACTORS: [u32; 5] = [200, 100, 50, 20, 10];

const LONG_TAIL: [LongTailRow; 5] = [
    ("baseline", [65.68, 70.36, 74.81, 82.23, 86.39], [34.84, 38.32, 43.85, 51.14, 55.71]),
    ("focal", [65.29, 70.38, 76.71, 82.76, 86.66], [35.62, 38.41, 44.32, 51.95, 55.78]),
    (
        "classbalancedfocal",
        [68.89, 74.57, 79.27, 84.36, 87.49],
        [36.23, 39.60, 45.32, 52.59, 57.99],
    ),
    ("l2rw", [66.51, 74.16, 78.93, 82.12, 85.19], [33.38, 40.23, 44.44, 51.64, 53.73]),
    ("mwnnormalised", [68.91, 75.21, 80.06, 84.94, 87.84], [37.91, 42.09, 46.74, 54.37, 58.46]),
];

fn long_tail(factor: u32, dataset: PublishedDataset, key: &str) -> Option<Published> {
    let column = LONG_TAIL_FACTORS.iter().position(|known| *known == factor)?;
    let (_, cifar10, cifar100) = LONG_TAIL.iter().find(|(name, ..)| *name == key)?;
    let row = match dataset {
        PublishedDataset::Cifar10 => cifar10,
        PublishedDataset::Cifar100 => cifar100,
    };
    Some(Published { mean: row[column], interval: None })
}

/// The paper's test accuracy for a method, or `None` if its table has no such row.
///
/// `method` is compared without regard to case and punctuation: "S-Model+Conf+ES",
/// "s_model_conf_es" and "smodelconfes" are one method. The paper's own method is "l2rw" or "ours".
pub fn published(setting: Setting, dataset: PublishedDataset, method: &str) -> Option<Published> {
    let key: String = method
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let key = if key == "ours" { "l2rw" } else { key.as_str() };
    let rows: &[Row] = match setting {
        Setting::UniformFlip => &UNIFORM_FLIP,
        Setting::BackgroundFlip => &BACKGROUND_FLIP,
        Setting::LongTail { factor } => return long_tail(factor, dataset, key),
    };
    let (_, cifar10, cifar100) = rows.iter().find(|(name, ..)| *name == key)?;
    Some(match dataset {
        PublishedDataset::Cifar10 => *cifar10,
        PublishedDataset::Cifar100 => *cifar100,
    })
}
