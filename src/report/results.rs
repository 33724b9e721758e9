//! `results.json`: what an experiment measured, in a form that other programs can read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::ReportError;
use crate::files::{FileError, write_atomic};

/// The file that [`write()`] makes in its directory.
pub const FILE_NAME: &str = "results.json";

/// Everything one run of an experiment found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Name of the GPU.
    pub adapter: String,
    /// Name and version of its driver.
    pub driver: String,
    /// Graphics interface used: "Vulkan", "Metal", "Dx12", "BrowserWebGpu".
    pub backend: String,
    /// What computed: the crate's version, and the commit where it is known.
    #[serde(default)]
    pub version: String,
    /// The settings of the run, enough to repeat it.
    pub config: serde_json::Value,
    /// One entry a method, in the order of training.
    pub methods: Vec<MethodResult>,
}

/// What one method reached. Numbers that were not measured are NaN, which JSON shows as `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodResult {
    /// Short name: "baseline", "l2rw", …
    pub name: String,
    /// Share of the test set that the last step's network classifies correctly, 0 to 1.
    #[serde(deserialize_with = "nan_from_null")]
    pub test_accuracy: f64,
    /// Mean wall-clock seconds a training step took, evaluation left out.
    #[serde(deserialize_with = "nan_from_null")]
    pub seconds_per_step: f64,
    /// Training steps done.
    pub steps: u64,
    /// Those of them that were left out since a number was not finite.
    #[serde(default)]
    pub skipped_steps: u64,
    /// Whether training was stopped before its last step.
    pub interrupted: bool,
    /// Test examples counted by true class (row) and predicted class (column): classes × classes.
    pub confusion: Vec<Vec<u32>>,
    /// The run's history, by increasing step.
    pub curve: Vec<CurvePoint>,
    /// Present for methods that weight examples; its fields stand beside the others in the JSON.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub reweighting: Option<ReweightingResult>,
}

/// How well a method's example weights tell corrupted from clean training examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReweightingResult {
    /// Area under the ROC curve of "low mean weight means corrupted label", 0 to 1; 0.5 is chance.
    #[serde(deserialize_with = "nan_from_null")]
    pub noise_auc: f64,
    /// Share of the total weight that corrupted examples received, 0 to 1.
    #[serde(deserialize_with = "nan_from_null")]
    pub corrupted_weight_share: f64,
    /// Share of the training examples that are corrupted, 0 to 1: what uniform weights would give.
    #[serde(deserialize_with = "nan_from_null")]
    pub corrupted_share: f64,
    /// Steps at which every example had weight zero, so that only decay and momentum acted.
    pub zero_weight_steps: u64,
}

/// One point of a method's history. Accuracies and shares run from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Training steps done so far.
    pub step: u64,
    /// Mean cross-entropy of the training batch, in nats, by the labels as given.
    #[serde(deserialize_with = "nan_from_null")]
    pub train_loss: f64,
    /// Accuracy on the training batch, by the labels as given.
    #[serde(deserialize_with = "nan_from_null")]
    pub train_accuracy: f64,
    /// Accuracy on the clean batch; NaN for methods that do not look at one.
    #[serde(deserialize_with = "nan_from_null")]
    pub clean_accuracy: f64,
    /// Accuracy on the test set, at the steps where it was evaluated.
    pub test_accuracy: Option<f64>,
    /// Share of the batch's weight on corrupted examples, for methods that weight.
    pub corrupted_weight_share: Option<f64>,
}

fn nan_from_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The JSON text of `results`: the same input gives the same bytes.
///
/// Fields come in the order of the structs, floats in the fewest digits that read back to the same
/// number, NaN and infinities as `null`; a row of a confusion matrix and a point of a curve take a
/// line each.
///
/// # Errors
///
/// What `serde_json` reports; no value of [`Results`] is known to cause it.
pub fn to_json(results: &Results) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    results.serialize(&mut Serializer::with_formatter(&mut bytes, RowFormatter::default()))?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(|error| serde_json::Error::io(io::Error::other(error)))
}

/// Writes `results` to [`FILE_NAME`] in the directory `dir`, replacing an older file in one step,
/// and returns the file's path.
///
/// # Errors
///
/// [`ReportError::Serialize`] or [`ReportError::File`]; an older file is then left as it was.
pub fn write(results: &Results, dir: &Path) -> Result<PathBuf, ReportError> {
    let path = dir.join(FILE_NAME);
    let json =
        to_json(results).map_err(|source| ReportError::Serialize { path: path.clone(), source })?;
    write_atomic(&path, json.as_bytes())?;
    Ok(path)
}

/// Reads what [`write()`] wrote: to draw plots again, or to compare runs.
///
/// # Errors
///
/// [`ReportError::File`] or [`ReportError::Parse`].
pub fn read(path: &Path) -> Result<Results, ReportError> {
    let text = fs::read_to_string(path)
        .map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text)
        .map_err(|source| ReportError::Parse { path: path.to_owned(), source })
}

/// Pretty JSON down to a curve's points and a confusion matrix's rows, which stay on one line: one
/// number a line would make thousands of lines that nobody can read or compare.
#[derive(Default)]
struct RowFormatter {
    pretty: PrettyFormatter<'static>,
    depth: usize,
}

impl RowFormatter {
    /// Object → methods → method → curve or confusion matrix.
    const DEEPEST_INDENTED: usize = 4;

    fn inline(&self) -> bool {
        self.depth > Self::DEEPEST_INDENTED
    }

    fn separate<W: ?Sized + io::Write>(writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

impl Formatter for RowFormatter {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.inline() {
            return writer.write_all(b"[");
        }
        self.pretty.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let inline = self.inline();
        self.depth -= 1;
        if inline {
            return writer.write_all(b"]");
        }
        self.pretty.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if self.inline() {
            return Self::separate(writer, first);
        }
        self.pretty.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.inline() {
            return Ok(());
        }
        self.pretty.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        if self.inline() {
            return writer.write_all(b"{");
        }
        self.pretty.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let inline = self.inline();
        self.depth -= 1;
        if inline {
            return writer.write_all(b"}");
        }
        self.pretty.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if self.inline() {
            return Self::separate(writer, first);
        }
        self.pretty.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.inline() {
            return Ok(());
        }
        self.pretty.end_object_value(writer)
    }
}
