//! Layers that stay as they are while others learn.

use super::{BuildError, LayerKind, Network, Parameter, ParameterId};
use crate::ops::NormKind;

/// What of a network stays as it is in training. By default, nothing does.
///
/// Layers are named whole or up to a dot: `layer1` means `layer1.0.conv1` and all its like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// Everything in front of the first layer of this name.
    pub before: Option<String>,
    /// Further layers.
    pub layers: Vec<String>,
    /// Which BatchNorm layers keep their statistics.
    pub statistics: FixedStatistics,
}

/// BatchNorm layers that normalise with their running statistics in training as well, and leave
/// these as they are. A network all of whose BatchNorm layers do mixes no examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FixedStatistics {
    /// None: they normalise with the batch's statistics, and the running ones follow, also in
    /// frozen layers, as in PyTorch while a module is in training mode.
    #[default]
    None,
    /// Those of frozen layers.
    OfFrozen,
    /// All of them.
    All,
}

impl Network {
    /// The network with layers that stay as they are. They get no gradient and no weight decay, and
    /// no part in G and the similarities; a backward pass ends at the first layer that learns.
    ///
    /// # Errors
    /// When a name is of no layer with parameters, or nothing is left to learn.
    pub fn freeze(&self, frozen: &Frozen) -> Result<Self, BuildError> {
        let mut network = self.clone();
        let Frozen { before, layers, statistics } = frozen;
        if let Some(name) = before {
            let end = network.layers.iter().position(|layer| is_named(&layer.name, name));
            let end = end.ok_or_else(|| unknown(name))?;
            network.layers[..end].iter_mut().for_each(|layer| layer.frozen = true);
        }
        for name in layers {
            let named = network.layers.iter_mut().filter(|layer| is_named(&layer.name, name));
            let mut has_parameters = false;
            for layer in named {
                layer.frozen = true;
                has_parameters |= !parameters_of(&layer.kind).is_empty();
            }
            if !has_parameters {
                return Err(unknown(name));
            }
        }
        for layer in &mut network.layers {
            let is_fixed = match statistics {
                FixedStatistics::None => false,
                FixedStatistics::OfFrozen => layer.frozen,
                FixedStatistics::All => true,
            };
            if let LayerKind::Norm { options, .. } = &mut layer.kind
                && options.kind == NormKind::Batch
                && is_fixed
            {
                options.kind = NormKind::Fixed;
            }
        }
        if network.learned_parameters().next().is_none() {
            let (layer, reason) = (network.output().name.clone(), "nothing is left to learn");
            return Err(BuildError { layer, reason: reason.into() });
        }
        Ok(network)
    }

    /// Whether a layer has parameters that learn.
    pub(crate) fn learns(&self, layer: usize) -> bool {
        let layer = &self.layers[layer];
        !layer.frozen && !parameters_of(&layer.kind).is_empty()
    }

    /// The first of the last `count` convolutions and products that learn; the input where there
    /// are no more than these.
    pub(crate) fn first_of_last(&self, count: usize) -> usize {
        let layers = self.layers.iter().enumerate();
        let weighted = layers.filter(|(index, layer)| {
            matches!(layer.kind, LayerKind::Conv { .. }) && self.learns(*index)
        });
        let indices: Vec<usize> = weighted.map(|(index, _)| index).collect();
        match indices.len().checked_sub(count) {
            None | Some(0) => 0,
            Some(left_out) => indices.get(left_out).copied().unwrap_or(self.layers.len()),
        }
    }

    /// Parameters of layers that are not frozen, in their order.
    pub(crate) fn learned_parameters(&self) -> impl Iterator<Item = &Parameter> {
        let layers = self.layers.iter().filter(|layer| !layer.frozen);
        layers.flat_map(|layer| parameters_of(&layer.kind)).map(|id| self.parameter(id))
    }
}

pub(crate) fn parameters_of(kind: &LayerKind) -> Vec<ParameterId> {
    match kind {
        LayerKind::Conv { weight, bias, .. } => {
            [Some(*weight), *bias].into_iter().flatten().collect()
        }
        LayerKind::Norm { scale, shift, .. } => {
            [*scale, Some(*shift)].into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

/// Whether `name` is the layer's, or its beginning up to a dot.
fn is_named(layer: &str, name: &str) -> bool {
    layer.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn unknown(name: &str) -> BuildError {
    let reason = "no layer with parameters has this name, whole or up to a dot".into();
    BuildError { layer: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Normalisation, Shape, zoo};

    fn network() -> Network {
        let shape = Shape::new(32, 32, 3);
        zoo::by_name("torchvision-resnet18", shape, 4, Normalisation::batch()).unwrap()
    }

    fn frozen(before: Option<&str>, layers: &[&str], statistics: FixedStatistics) -> Frozen {
        let layers = layers.iter().map(|name| (*name).to_owned()).collect();
        Frozen { before: before.map(str::to_owned), layers, statistics }
    }

    #[test]
    fn a_name_means_a_layer_or_all_behind_its_dot() {
        let named = |name: &str| {
            let network = network().freeze(&frozen(None, &[name], FixedStatistics::None)).unwrap();
            let frozen = network.layers.iter().filter(|layer| layer.frozen);
            frozen.map(|layer| layer.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            named("layer2.0.downsample"),
            ["layer2.0.downsample.0", "layer2.0.downsample.1"]
        );
        assert_eq!(named("conv1"), ["conv1"]);
        assert!(named("layer1").iter().all(|name| name.starts_with("layer1.")));
    }

    #[test]
    fn what_learns_is_what_is_not_frozen() {
        let network =
            network().freeze(&frozen(Some("layer4"), &[], FixedStatistics::None)).unwrap();
        let learned: Vec<&str> = network.learned_parameters().map(|p| p.name.as_str()).collect();
        assert_eq!(learned.first(), Some(&"layer4.0.conv1.weight"));
        assert_eq!(learned.len(), 5 * 3 + 2);
        let decaying = network.decay_mask().iter().filter(|v| **v > 0.0).count();
        let weights = network.learned_parameters().filter(|p| p.decays).map(|p| p.len);
        assert_eq!(decaying, weights.sum::<usize>());
    }

    #[test]
    fn examples_mix_unless_all_statistics_are_fixed() {
        let mixes = |statistics| {
            let network = network().freeze(&frozen(Some("layer4"), &[], statistics)).unwrap();
            network.mixes_examples()
        };
        use FixedStatistics::{All, None, OfFrozen};
        assert_eq!([None, OfFrozen, All].map(mixes), [true, true, false]);
        let head = network().freeze(&frozen(Some("fc"), &[], OfFrozen)).unwrap();
        assert!(!head.mixes_examples());
    }

    #[test]
    fn names_of_no_layer_and_freezing_everything_are_refused() {
        let refused = |before, layers: &[&str]| {
            let frozen = frozen(before, layers, FixedStatistics::None);
            network().freeze(&frozen).unwrap_err().to_string()
        };
        assert!(refused(Some("layer5"), &[]).contains("layer5"));
        // No half of a name, and no layer without parameters.
        for name in ["layer", "maxpool", "fc.weight", ""] {
            assert!(refused(None, &[name]).contains(name), "{name}");
        }
        let all = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"];
        assert!(refused(None, &all).contains("nothing is left to learn"));
    }
}
