//! The examples that commands work on: pictures in folders or lists, data sets in known formats,
//! and tables of features.

mod arguments;
mod flip;
mod reading;

use std::path::Path;

use anyhow::{Result, ensure};
use l2rw::data::{Dataset, ReadNotes};

use crate::audit::{Decision, read_decisions};

pub use arguments::{DataOptions, PictureArguments, TableArguments};
pub use flip::Flip;
pub use reading::{NewExamples, Untold};

/// Labelled examples, of which some are trusted.
pub struct Labelled {
    pub set: Dataset,
    /// File, name or number of each example.
    pub names: Vec<String>,
    /// Which labels were made wrong, in trials.
    pub wrong: Option<Vec<bool>>,
    /// Labels before that.
    pub true_labels: Vec<u32>,
    /// What somebody has decided about already.
    pub decided: Vec<bool>,
    pub clean: Dataset,
    /// What the data keeps for judging.
    pub test: Option<Dataset>,
    /// Names of the trusted examples.
    pub clean_names: Vec<String>,
    /// How the data was read, for people.
    pub notes: Vec<String>,
    /// How pictures were read, where each example is a file of its own.
    pub pictures: Option<ReadNotes>,
    /// Names of the features, where the examples are rows of a table.
    pub columns: Option<Vec<String>>,
}

impl Labelled {
    /// What was read, for people.
    pub fn say(&self) {
        let (set, trusted) = (&self.set, self.clean.len());
        println!(
            "{}: {} examples of {} classes, {trusted} trusted",
            set.name,
            set.len(),
            set.classes()
        );
        self.notes.iter().for_each(|note| println!("  {note}"));
    }

    /// Refuses classes that nobody vouches for: the examples of such a class would all come out
    /// as doubtful.
    pub fn check_trusted(&self) -> Result<()> {
        let has = |class: usize| self.clean.labels.iter().any(|label| *label as usize == class);
        let names = &self.set.class_names;
        let without: Vec<String> = (0..names.len())
            .filter(|class| !has(*class))
            .map(|class| names[class].clone())
            .collect();
        ensure!(
            without.is_empty(),
            "no trusted example of {}: all of their examples would seem doubtful. Add some, or \
             take the classes out of the data",
            first_names(&without)
        );
        Ok(())
    }

    /// Corrects labels, and leaves out what is none of the classes.
    pub fn decide(&mut self, file: &Path) -> Result<()> {
        let decisions = read_decisions(file, &self.names, &self.set.class_names)?;
        let mut keep = Vec::new();
        let [mut right, mut wrong] = [0, 0];
        for (index, decision) in decisions.iter().enumerate() {
            match decision {
                Some(Decision::LeaveOut) => continue,
                Some(Decision::Wrong(label)) => {
                    self.set.labels[index] = *label;
                    wrong += 1;
                }
                Some(Decision::Right) => right += 1,
                None => {}
            }
            keep.push(index);
        }
        let left_out = self.set.len() - keep.len();
        self.notes.push(format!(
            "{}: {right} labels are right, {wrong} corrected, {left_out} examples left out",
            file.display()
        ));
        self.set = self.set.subset(&keep)?;
        self.names = keep.iter().map(|&index| self.names[index].clone()).collect();
        self.decided = keep.iter().map(|&index| decisions[index].is_some()).collect();
        self.true_labels = self.set.labels.clone();
        Ok(())
    }
}

/// How many names a message holds.
const TOLD: usize = 10;

fn first_names(names: &[String]) -> String {
    let more = if names.len() > TOLD { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(TOLD)].join(", "))
}
