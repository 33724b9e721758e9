//! Options about the data that commands read.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, anyhow, bail, ensure};
use clap::Args;
use l2rw::data::{Fit, PictureOptions, TableOptions};

/// Where examples are read from, and how.
#[derive(Args, Clone, Debug)]
pub struct DataOptions {
    /// The data with doubtful labels: a folder of pictures with a folder for each class; a CSV with
    /// the columns `path` and `label`; the binary version of CIFAR-10 or CIFAR-100; MNIST-style IDX
    /// files; or features as .npy, .npz, .csv, .tsv or .parquet
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Trusted examples of the same classes and kind. Not needed where a column of --data tells
    /// which are trusted
    #[arg(long, value_name = "PATH")]
    pub clean: Option<PathBuf>,
    /// Or so many of each class of the data itself, drawn at random: trusted.csv lists them, and
    /// they should be looked at before the result is believed
    #[arg(long, value_name = "N", conflicts_with = "clean")]
    pub clean_per_class: Option<usize>,
    /// Leave out the examples with these labels, such as `unknown`
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub ignore_label: Vec<String>,
    /// Only the first examples of each class
    #[arg(long, value_name = "N")]
    pub examples_per_class: Option<usize>,
    #[command(flatten)]
    pub pictures: PictureArguments,
    #[command(flatten)]
    pub table: TableArguments,
}

/// How pictures become examples.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pictures")]
pub struct PictureArguments {
    /// Size of all pictures, one number or HEIGHTxWIDTH [default: what most of them have, if that
    /// is 64 pixels at most (32 on an adapter that computes on the CPU), otherwise a square; it is
    /// printed]
    #[arg(long, value_name = "PIXELS")]
    pub size: Option<Size>,
    /// Pictures of another shape get bars instead of losing their sides
    #[arg(long)]
    pub letterbox: bool,
    /// Make all pictures grey
    #[arg(long)]
    pub grey: bool,
    /// What transparent pictures and bars are laid on, as RRGGBB
    #[arg(long, value_name = "COLOUR", default_value = "ffffff")]
    pub background: Colour,
    /// Take pictures in folders below a class folder as well
    #[arg(long)]
    pub nested: bool,
    /// Leave out pictures that cannot be read, and say which
    #[arg(long)]
    pub leave_out_unreadable: bool,
}

impl PictureArguments {
    /// For a network that was trained on pictures of this height, width and number of channels.
    pub fn of_network(
        [height, width, channels]: [usize; 3],
        letterbox: bool,
        rgb: [u8; 3],
    ) -> Self {
        Self {
            size: Some(Size(height, width)),
            letterbox,
            grey: channels == 1,
            background: Colour(rgb),
            nested: true,
            leave_out_unreadable: false,
        }
    }

    pub fn options(&self) -> PictureOptions {
        PictureOptions {
            size: self.size.map(|Size(height, width)| (height, width)),
            longest_side: None,
            fit: if self.letterbox { Fit::Letterbox } else { Fit::Crop },
            channels: self.grey.then_some(1),
            background: self.background.0,
            nested: self.nested,
            leave_out_unreadable: self.leave_out_unreadable,
        }
    }
}

/// Height and width.
#[derive(Clone, Copy, Debug)]
pub struct Size(usize, usize);

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let side = |text: &str| match text.parse() {
            Ok(side) if side > 0 => Ok(side),
            _ => Err(anyhow!("'{text}' is no number of pixels: write 64 or 48x64")),
        };
        match text.split_once('x') {
            Some((height, width)) => Ok(Self(side(height)?, side(width)?)),
            None => side(text).map(|side| Self(side, side)),
        }
    }
}

/// Red, green and blue.
#[derive(Clone, Copy, Debug)]
pub struct Colour(pub [u8; 3]);

impl FromStr for Colour {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.trim_start_matches('#');
        match u32::from_str_radix(digits, 16) {
            Ok(value) if digits.len() == 6 => {
                let [_, red, green, blue] = value.to_be_bytes();
                Ok(Self([red, green, blue]))
            }
            _ => bail!("'{text}' is no colour: write six hexadecimal digits, ffffff for white"),
        }
    }
}

/// What the columns of a table are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Features")]
pub struct TableArguments {
    /// File with the labels of an .npy
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// File that tells which rows of an .npy are trusted: truth values, or numbers of rows
    #[arg(long, value_name = "FILE")]
    pub trusted_rows: Option<PathBuf>,
    /// Column, or array of an .npz, with the labels
    #[arg(long, value_name = "NAME", default_value = "label")]
    pub label_column: String,
    /// Column, or array of an .npz, that tells which rows are trusted
    #[arg(long, value_name = "NAME", default_value = "trusted")]
    pub trusted_column: String,
    /// Column with a name for each row [default: rows are numbered]
    #[arg(long, value_name = "NAME")]
    pub name_column: Option<String>,
    /// Columns that are no features
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub ignore_column: Vec<String>,
}

impl TableArguments {
    pub fn options(&self) -> TableOptions {
        TableOptions {
            label: self.label_column.clone(),
            trusted: self.trusted_column.clone(),
            name: self.name_column.clone(),
            ignored: self.ignore_column.clone(),
            labels_file: self.labels.clone(),
            trusted_file: self.trusted_rows.clone(),
        }
    }
}

impl DataOptions {
    /// Checks what does not depend on the data.
    pub fn check(&self) -> Result<()> {
        ensure!(self.clean_per_class != Some(0), "--clean-per-class must be at least 1");
        ensure!(self.examples_per_class != Some(0), "--examples-per-class must be at least 1");
        Ok(())
    }

    /// The folders that are read.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.data), self.clean.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }
}
