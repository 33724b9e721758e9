//! Parameters from other programs: which tensor of a file belongs where, and what does not fit.

use std::fmt;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::TrainError;
use super::checkpoint::{StoredFile, fail, from_bytes};
use crate::nn::{Layer, LayerKind, Network, StateDictTensor, Vector};

/// What becomes of the last layer when parameters are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastLayer {
    /// It comes from the file, as all others do.
    #[default]
    Load,
    /// It comes from the file where it fits. Where a tensor of it is missing or of another shape,
    /// as for other classes, the whole layer stays as it is, and [`Loaded::kept`] says so.
    LoadOrKeep,
}

/// What was taken from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "says which tensors were not taken from the file"]
pub struct Loaded {
    /// Tensors that the network has from the file now.
    pub taken: usize,
    /// Those of them that were not f32 in the file.
    pub converted: Vec<String>,
    /// Why the last layer stayed as it was, tensor by tensor; empty where it was taken.
    pub kept: Vec<String>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors taken from the file", self.taken)?;
        if let [first, ..] = &self.converted[..] {
            write!(f, ", {} of them converted to f32, e.g. {first}", self.converted.len())?;
        }
        if !self.kept.is_empty() {
            write!(f, "; the last layer stays as it was: {}", first_few(&self.kept))?;
        }
        Ok(())
    }
}

/// A part of one of the model's vectors, on its way to the device: label, offset, content.
pub(super) type Write<'a> = (&'a str, usize, Vec<u32>);

/// What PyTorch's `DataParallel` puts in front of every name.
const WRAPPER: &str = "module.";

/// Parameters and running statistics of a file, in the layout of the device.
///
/// # Errors
/// [`TrainError::Safetensors`] with all that does not fit: tensors that are missing, that have no
/// place in the network, or are of another shape or type, the first ten of each.
pub(super) fn parameters_of<'a>(
    file: &StoredFile<'_>,
    network: &Network,
    last: LastLayer,
) -> Result<(Vec<Write<'a>>, Loaded), TrainError> {
    let state = network.state_dict();
    let names = Names::new(file, &state);
    let mut loaded = Loaded::default();
    let kept = match last {
        LastLayer::Load => None,
        LastLayer::LoadOrKeep => last_layer(network).filter(|layer| {
            loaded.kept = names.misfits_of(layer, &state);
            !loaded.kept.is_empty()
        }),
    };
    let is_kept = |name: &str| kept.is_some_and(|layer| is_of(name, layer));
    let mut unfit = Unfit::default();
    let strangers = names.own().filter(|own| state.iter().all(|tensor| tensor.name != **own));
    unfit.strangers.extend(strangers.filter(|own| !is_kept(own)).map(str::to_owned));
    let mut writes = Vec::new();
    for tensor in state.iter().filter(|tensor| !is_kept(&tensor.name)) {
        let words = names.view(&tensor.name).map(|view| {
            check_shape(tensor, &view)?;
            floats(&view).map_err(|reason| format!("{} {reason}", tensor.name))
        });
        match words {
            None => unfit.missing.push(tensor.name.clone()),
            Some(Err(reason)) => unfit.other.push(reason),
            Some(Ok((words, is_converted))) => {
                loaded.taken += 1;
                loaded.converted.extend(is_converted.then(|| tensor.name.clone()));
                writes.extend(unfit.write(tensor, &words));
            }
        }
    }
    unfit.refuse(last == LastLayer::Load, network)?;
    Ok((writes, loaded))
}

/// All of them, for a network that is put on a device to predict.
///
/// # Errors
/// As [`parameters_of`].
pub(super) fn parameters_for(
    bytes: &[u8],
    network: &Network,
) -> Result<Vec<Write<'static>>, TrainError> {
    Ok(parameters_of(&StoredFile::open(bytes)?, network, LastLayer::Load)?.0)
}

/// The name of the last layer that learns weights.
fn last_layer(network: &Network) -> Option<&str> {
    let has_weights = |layer: &&Layer| matches!(layer.kind, LayerKind::Conv { .. });
    network.layers.iter().rev().find(has_weights).map(|layer| layer.name.as_str())
}

/// Whether a tensor is of this layer.
fn is_of(name: &str, layer: &str) -> bool {
    name.strip_prefix(layer).is_some_and(|part| part.starts_with('.'))
}

/// The tensors of a file under the names that they have in the network.
struct Names<'a, 'f> {
    file: &'a StoredFile<'f>,
    /// In front of every name in the file.
    prefix: &'static str,
}

impl<'a, 'f> Names<'a, 'f> {
    fn new(file: &'a StoredFile<'f>, state: &[StateDictTensor]) -> Self {
        let is_wrapped = |name: &str| name.starts_with(WRAPPER);
        let mut names = file.tensors.names().into_iter().filter(|name| is_of_network(name));
        let wrapped = names.all(is_wrapped) && !state.iter().any(|own| is_wrapped(&own.name));
        Self { file, prefix: if wrapped { WRAPPER } else { "" } }
    }

    /// All of them but BatchNorm's counters, sorted.
    fn own(&self) -> impl Iterator<Item = &str> {
        let mut names = self.file.tensors.names();
        names.sort_unstable();
        let own = names.into_iter().filter(|name| is_of_network(name));
        own.map(|name| name.strip_prefix(self.prefix).unwrap_or(name))
    }

    fn view(&self, own: &str) -> Option<TensorView<'_>> {
        self.file.tensors.tensor(&format!("{}{own}", self.prefix)).ok()
    }

    /// Why a layer cannot be taken from the file as a whole; empty where it can.
    fn misfits_of(&self, layer: &str, state: &[StateDictTensor]) -> Vec<String> {
        let own = state.iter().filter(|tensor| is_of(&tensor.name, layer));
        let mut misfits: Vec<String> = own
            .filter_map(|tensor| match self.view(&tensor.name) {
                None => Some(format!("{} is missing", tensor.name)),
                Some(view) => check_shape(tensor, &view).err(),
            })
            .collect();
        let known = |name: &str| state.iter().any(|tensor| tensor.name == name);
        let strangers = self.own().filter(|name| is_of(name, layer) && !known(name));
        misfits.extend(strangers.map(|name| format!("{name} has no place")));
        misfits
    }
}

/// Whether a tensor of a file is one of the network itself.
fn is_of_network(name: &str) -> bool {
    let is_beside = ["optimizer/", "weighting/"].iter().any(|group| name.starts_with(group));
    !is_beside && !StoredFile::is_of_host(name) && !name.ends_with(".num_batches_tracked")
}

fn check_shape(tensor: &StateDictTensor, view: &TensorView<'_>) -> Result<(), String> {
    match view.shape() == tensor.shape {
        true => Ok(()),
        false => {
            let (name, theirs, ours) = (&tensor.name, view.shape(), &tensor.shape);
            Err(format!("{name} is {theirs:?} in the file and {ours:?} in the network"))
        }
    }
}

/// The words of a tensor of floats as f32, and whether they were of another type.
fn floats(view: &TensorView<'_>) -> Result<(Vec<u32>, bool), String> {
    let data = view.data();
    let words = match view.dtype() {
        Dtype::F32 => return Ok((from_bytes(data, u32::from_le_bytes), false)),
        Dtype::F64 => from_bytes(data, |bytes| (f64::from_le_bytes(bytes) as f32).to_bits()),
        Dtype::BF16 => from_bytes(data, |bytes| u32::from(u16::from_le_bytes(bytes)) << 16),
        Dtype::F16 => from_bytes(data, |bytes| of_half(u16::from_le_bytes(bytes)).to_bits()),
        other => return Err(format!("is {other:?}, expected F32, F64, F16 or BF16")),
    };
    if view.dtype() == Dtype::F64 {
        let numbers: Vec<f64> = from_bytes(data, f64::from_le_bytes);
        let lost = |(number, word): &(&f64, &u32)| {
            number.is_finite() && !f32::from_bits(**word).is_finite()
        };
        if let Some((number, _)) = numbers.iter().zip(&words).find(lost) {
            return Err(format!("holds {number:e}, which is beyond f32"));
        }
    }
    Ok((words, true))
}

/// An IEEE 754 binary16, which every f32 can hold.
fn of_half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * (-24f32).exp2(),
        31 if fraction > 0.0 => f32::NAN,
        31 => f32::INFINITY,
        _ => (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// All in which a file and a network differ.
#[derive(Default)]
struct Unfit {
    missing: Vec<String>,
    strangers: Vec<String>,
    /// Of another shape, type or content, each with the reason.
    other: Vec<String>,
}

impl Unfit {
    /// The tensor's part of the flat vectors. Scales that the network has not learned have none.
    fn write<'a>(&mut self, tensor: &StateDictTensor, words: &[u32]) -> Option<Write<'a>> {
        let Some(offset) = tensor.offset else {
            if words.iter().any(|word| *word != 1f32.to_bits()) {
                let name = &tensor.name;
                let reason = "is not all ones, and the network has no learned scale there";
                self.other.push(format!("{name} {reason}"));
            }
            return None;
        };
        let label = match tensor.vector {
            Vector::Parameters => "parameters",
            Vector::Running => "running",
        };
        Some((label, offset, tensor.to_ours(words)))
    }

    /// An error unless everything fits.
    fn refuse(&self, may_keep: bool, network: &Network) -> Result<(), TrainError> {
        let mut parts = Vec::new();
        if !self.missing.is_empty() {
            let count = self.missing.len();
            parts.push(format!("{count} missing in the file: {}", first_few(&self.missing)));
        }
        if !self.strangers.is_empty() {
            let (count, names) = (self.strangers.len(), first_few(&self.strangers));
            parts.push(format!("{count} with no place in the network: {names}"));
        }
        if !self.other.is_empty() {
            let count = self.other.len();
            parts.push(format!("{count} of another form: {}", first_few(&self.other)));
        }
        if parts.is_empty() {
            return Ok(());
        }
        let last = last_layer(network).filter(|_| may_keep && self.strangers.is_empty());
        let only_last = |layer: &&str| {
            let missing = self.missing.iter().all(|name| is_of(name, layer));
            missing && self.other.iter().all(|reason| is_of(reason, layer))
        };
        let advice = match last.filter(only_last) {
            Some(layer) => {
                format!("; to keep layer '{layer}' as it is, load with LastLayer::LoadOrKeep")
            }
            None => String::new(),
        };
        Err(fail(format!("tensors that do not fit the network: {}{advice}", parts.join("; "))))
    }
}

/// The first ten of a list, and how many more there are.
fn first_few(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_numbers_that_ieee_754_says() {
        let known = [
            (0x0000, 0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.33325195),
            (0x7bff, 65504.0),
            (0x0001, 5.9604645e-8),
            (0x03ff, 6.097555e-5),
            (0x0400, 6.1035156e-5),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (bits, expected) in known {
            assert_eq!(of_half(bits), expected, "{bits:#06x}");
        }
        assert!(of_half(0x8000).is_sign_negative() && of_half(0x7e00).is_nan());
    }
}
