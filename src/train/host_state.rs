//! What a program keeps of its own run beside the model, in the same checkpoint.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::TrainError;

/// What a program needs to go on with its own part of a run: a JSON value and named vectors. A
/// checkpoint holds it beside the model ([`Model::to_checkpoint`](super::Model::to_checkpoint)), so
/// that both are always of the same step.
///
/// What cannot be JSON without loss (NaN, infinities) or is long goes into vectors, which keep
/// their bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostState {
    pub(super) json: Value,
    pub(super) vectors: BTreeMap<String, Numbers>,
}

/// A vector of a [`HostState`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Numbers {
    F64(Vec<f64>),
    U32(Vec<u32>),
}

impl HostState {
    /// A state with this JSON and no vectors.
    ///
    /// # Errors
    /// [`TrainError::HostState`] for what is no JSON, e.g. a map whose keys are no texts.
    pub fn new(json: &impl Serialize) -> Result<Self, TrainError> {
        let json = serde_json::to_value(json).map_err(|error| fail("its JSON", error))?;
        Ok(Self { json, vectors: BTreeMap::new() })
    }

    /// The JSON, read into a type of the program.
    ///
    /// # Errors
    /// [`TrainError::HostState`] when it is not of that type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, TrainError> {
        T::deserialize(&self.json).map_err(|error| fail("its JSON", error))
    }

    /// Adds a vector of f64, or replaces the one of that name.
    pub fn insert_f64(&mut self, name: impl Into<String>, numbers: Vec<f64>) {
        self.vectors.insert(name.into(), Numbers::F64(numbers));
    }

    /// Adds a vector of u32, or replaces the one of that name.
    pub fn insert_u32(&mut self, name: impl Into<String>, numbers: Vec<u32>) {
        self.vectors.insert(name.into(), Numbers::U32(numbers));
    }

    /// Whether there is a vector of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.vectors.contains_key(name)
    }

    /// A vector of f64.
    ///
    /// # Errors
    /// [`TrainError::HostState`] when there is none of that name and type.
    pub fn f64s(&self, name: &str) -> Result<&[f64], TrainError> {
        match self.vectors.get(name) {
            Some(Numbers::F64(numbers)) => Ok(numbers),
            _ => Err(fail(name, "there is no such vector of f64")),
        }
    }

    /// A vector of u32.
    ///
    /// # Errors
    /// [`TrainError::HostState`] when there is none of that name and type.
    pub fn u32s(&self, name: &str) -> Result<&[u32], TrainError> {
        match self.vectors.get(name) {
            Some(Numbers::U32(numbers)) => Ok(numbers),
            _ => Err(fail(name, "there is no such vector of u32")),
        }
    }
}

pub(super) fn fail(name: &str, reason: impl ToString) -> TrainError {
    TrainError::HostState { name: name.to_owned(), reason: reason.to_string() }
}
