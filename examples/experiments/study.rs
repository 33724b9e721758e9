//! The experiments: what each varies, and what it takes where nothing is said.

use serde::Serialize;

/// One of the published experiments.
#[derive(Clone, Copy, Debug)]
pub struct Study {
    /// Of the example, and of its output folder.
    pub name: &'static str,
    /// What it shows, in a line or two of help.
    pub about: &'static str,
    pub kind: Kind,
    /// What `--noise`, `--imbalance` or `--majority` are by default, whichever the kind has.
    pub values: &'static [f64],
    /// Trusted images of each class.
    pub clean_per_class: &'static [usize],
    pub methods: &'static [&'static str],
    pub figure: Figure,
}

/// How the training set is spoiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    BackgroundFlip,
    UniformFlip,
    TwoClassFlip,
    LongTail,
    TwoDigits,
}

/// What the picture of all runs looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Methods below each other, beside the published numbers.
    Methods,
    /// Test error against what varies.
    Error,
    /// Test accuracy against what varies.
    Accuracy,
    /// As `Methods`, and for each run the weights of images that it has never seen.
    Weights,
}

/// How the training set is spoiled, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Spoiling {
    /// Table 2 of Ren et al. 2018: a share of all labels becomes the background class.
    BackgroundFlip { share: f64 },
    /// Table 1, as the official code makes it.
    UniformFlip { share: f64 },
    /// "Flip" of Shu et al. 2019: a share of each class gets the label of one of two others.
    TwoClassFlip { share: f64 },
    /// Class sizes fall exponentially (Cui et al. 2019).
    LongTail { factor: f64 },
    /// Figure 2 of Ren et al. 2018: 4 against 9, with a share of nines.
    TwoDigits { share: f64 },
}

impl Kind {
    pub fn with(self, value: f64) -> Spoiling {
        match self {
            Self::BackgroundFlip => Spoiling::BackgroundFlip { share: value },
            Self::UniformFlip => Spoiling::UniformFlip { share: value },
            Self::TwoClassFlip => Spoiling::TwoClassFlip { share: value },
            Self::LongTail => Spoiling::LongTail { factor: value },
            Self::TwoDigits => Spoiling::TwoDigits { share: value },
        }
    }

    /// The option that sets its number.
    pub fn option(self) -> &'static str {
        match self {
            Self::BackgroundFlip | Self::UniformFlip | Self::TwoClassFlip => "noise",
            Self::LongTail => "imbalance",
            Self::TwoDigits => "majority",
        }
    }
}

impl Spoiling {
    /// Whether classes differ in size, and labels are right.
    pub fn is_imbalance(self) -> bool {
        matches!(self, Self::LongTail { .. } | Self::TwoDigits { .. })
    }

    /// The share or factor.
    pub fn value(self) -> f64 {
        match self {
            Self::BackgroundFlip { share }
            | Self::UniformFlip { share }
            | Self::TwoClassFlip { share }
            | Self::TwoDigits { share } => share,
            Self::LongTail { factor } => factor,
        }
    }

    /// In what the data or the network differs from the published experiment.
    pub fn deviations(self) -> Vec<&'static str> {
        const SPLIT: &str = "the trusted and the held-out images are drawn class by class";
        match self {
            Self::TwoDigits { .. } => vec![
                "two classes and softmax in place of one sigmoid",
                "PROPORTION's weights sum to 1 over a batch",
            ],
            Self::BackgroundFlip { .. } | Self::UniformFlip { .. } => vec![SPLIT],
            Self::TwoClassFlip { .. } | Self::LongTail { .. } => vec![
                SPLIT,
                "network, normalisation and scaling of pixels are those of Ren et al. 2018",
                "crops have borders of zeros, not reflections",
                "accuracy of the last step, not of the best",
            ],
        }
    }
}

const FLIP_METHODS: &[&str] = &["baseline", "l2rw"];

/// All experiments.
const STUDIES: [Study; 8] = [
    Study {
        name: "cifar_backgroundflip",
        about: "Trains on images of which many carry the label of one background class, with and \
                without learned example weights (Ren et al., ICML 2018, Table 2), and compares.",
        kind: Kind::BackgroundFlip,
        values: &[0.4],
        clean_per_class: &[10],
        methods: FLIP_METHODS,
        figure: Figure::Methods,
    },
    Study {
        name: "cifar_uniformflip",
        about: "Trains on images of which many carry the label of any class, with and without \
                learned example weights (Ren et al., ICML 2018, Table 1), and compares.",
        kind: Kind::UniformFlip,
        values: &[0.4],
        clean_per_class: &[100],
        methods: FLIP_METHODS,
        figure: Figure::Methods,
    },
    Study {
        name: "cifar_flip",
        about: "Trains on images of which many carry the label of one of two other classes (Shu et \
                al., NeurIPS 2019, \"flip\"), with and without learned example weights, and \
                compares.",
        kind: Kind::TwoClassFlip,
        values: &[0.4],
        clean_per_class: &[100],
        methods: &["baseline", "l2rw", "mwn"],
        figure: Figure::Methods,
    },
    Study {
        name: "cifar_longtail",
        about: "Trains on classes of exponentially falling size (Shu et al., NeurIPS 2019, Table \
                1), with and without learned example weights, and compares.",
        kind: Kind::LongTail,
        values: &[100.0],
        clean_per_class: &[10],
        methods: &["baseline", "l2rw", "mwn-normalised"],
        figure: Figure::Methods,
    },
    Study {
        name: "noise_level",
        about: "Test accuracy against the share of labels that become the background class (Ren et \
                al., ICML 2018, Figure 5).",
        kind: Kind::BackgroundFlip,
        values: &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
        clean_per_class: &[10],
        methods: FLIP_METHODS,
        figure: Figure::Accuracy,
    },
    Study {
        name: "clean_set_size",
        about: "Test accuracy against the number of trusted images of each class, with 40 % of the \
                labels being the background class (Ren et al., ICML 2018, Figure 4).",
        kind: Kind::BackgroundFlip,
        values: &[0.4],
        clean_per_class: &[1, 2, 5, 10, 20, 50, 100],
        methods: &["l2rw", "baseline+ft"],
        figure: Figure::Accuracy,
    },
    Study {
        name: "weight_distribution",
        about: "What weights a network half-way through training gives to images that it has never \
                seen, with right and with wrong labels (Ren et al., ICML 2018, Figure 3).",
        kind: Kind::BackgroundFlip,
        values: &[0.4],
        clean_per_class: &[10],
        methods: &["l2rw"],
        figure: Figure::Weights,
    },
    Study {
        name: "mnist_imbalance",
        about: "Test error of telling 4 from 9 against the share of nines in training (Ren et al., \
                ICML 2018, Figure 2).",
        kind: Kind::TwoDigits,
        values: &[0.9, 0.95, 0.98, 0.99, 0.995],
        clean_per_class: &[5],
        methods: &["baseline", "proportion", "resample", "hard-mining", "random", "l2rw"],
        figure: Figure::Error,
    },
];

impl Study {
    /// The experiment of an example.
    pub fn named(name: &str) -> Option<Self> {
        STUDIES.into_iter().find(|study| study.name == name)
    }

    /// Where `results.json` has what varies: a setting, by path.
    pub fn varying(&self) -> &'static str {
        match self.kind {
            _ if self.clean_per_class.len() > 1 => "clean_per_class",
            Kind::LongTail => "spoiling.factor",
            _ => "spoiling.share",
        }
    }

    /// What varies, in a picture.
    pub fn axis(&self) -> &'static str {
        match self.kind {
            _ if self.clean_per_class.len() > 1 => "number of trusted images of each class",
            Kind::TwoDigits => "share of nines among the training images",
            Kind::LongTail => "size of the largest class over that of the smallest",
            _ => "share of changed labels",
        }
    }
}
