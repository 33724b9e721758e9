//! Labels that are made wrong, for trials.

use std::str::FromStr;

use anyhow::{Result, anyhow};
use l2rw::data::{Corruption, asymmetric_map};

/// Label noise for trials.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    asymmetric: bool,
    share: f64,
}

impl FromStr for Flip {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || anyhow!("'{text}' is not uniform:SHARE or asymmetric:SHARE");
        let (kind, share) = text.split_once(':').ok_or_else(wrong)?;
        let share = share.parse().map_err(|_| wrong())?;
        match kind {
            "uniform" => Ok(Self { asymmetric: false, share }),
            "asymmetric" => Ok(Self { asymmetric: true, share }),
            _ => Err(wrong()),
        }
    }
}

impl Flip {
    /// The corruption of a data set with these classes.
    pub fn corruption(self, class_names: &[String]) -> Corruption {
        match self.asymmetric {
            true => {
                Corruption::AsymmetricFlip { share: self.share, map: asymmetric_map(class_names) }
            }
            false => Corruption::UniformFlip { share: self.share },
        }
    }
}
