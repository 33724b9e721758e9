//! A network's tensors under PyTorch's names and in its layouts.

use super::storage::Channels;
use super::{LayerKind, Network, Parameter, ParameterId, Shape};

/// Which of the flat vectors a tensor lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vector {
    Parameters,
    Running,
}

/// A tensor of a PyTorch state dict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StateDictTensor {
    /// `<layer>.weight`, `<layer>.bias`, `<layer>.running_mean`, `<layer>.running_var`.
    pub name: String,
    /// Shape in PyTorch's order.
    pub shape: Vec<usize>,
    pub vector: Vector,
    /// First element in the flat vector; `None` for the scales that a normalisation without a
    /// learned scale does not store: all 1.
    pub offset: Option<usize>,
    /// Elements in the flat vector, channels of zeros included.
    stored: usize,
    /// Geometry of weights; `None` for vectors.
    kernel: Option<Kernel>,
}

/// Weights `[height, width, in, out]`, which PyTorch stores as `[out, in, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kernel {
    height: usize,
    width: usize,
    inputs: Channels,
    outputs: Channels,
}

impl StateDictTensor {
    fn vector_of(name: String, vector: Vector, offset: Option<usize>, channels: Channels) -> Self {
        let (shape, stored) = (vec![channels.count], channels.stored);
        Self { name, shape, vector, offset, stored, kernel: None }
    }

    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The tensor in PyTorch's order of elements, taken from the flat vector.
    pub fn to_pytorch(&self, flat: &[u32]) -> Vec<u32> {
        let Some(offset) = self.offset else { return vec![1f32.to_bits(); self.len()] };
        (0..self.len()).map(|index| flat[offset + self.our_index(index)]).collect()
    }

    /// From PyTorch's order of elements to the tensor's range of the flat vector.
    pub fn to_ours(&self, theirs: &[u32]) -> Vec<u32> {
        let mut ours = vec![0; self.stored];
        for (index, &value) in theirs.iter().enumerate() {
            ours[self.our_index(index)] = value;
        }
        ours
    }

    /// Where PyTorch's element `index` lies in this crate's tensor.
    fn our_index(&self, index: usize) -> usize {
        let Some(Kernel { height, width, inputs, outputs }) = self.kernel else { return index };
        let (row, column) = (index / width % height, index % width);
        let input = index / (width * height) % inputs.count;
        let output = index / (width * height * inputs.count);
        ((row * width + column) * inputs.stored + input) * outputs.stored + output
    }
}

impl Network {
    /// The tensors of this network's PyTorch twin, in the order of the layers.
    ///
    /// Convolutions are `[out, in, kernel_h, kernel_w]`; linear layers `[out, in]`, where inputs
    /// that were flattened from an image are in PyTorch's order, channels first.
    pub(crate) fn state_dict(&self) -> Vec<StateDictTensor> {
        let mut tensors = Vec::new();
        for layer in &self.layers {
            let name = |part: &str| format!("{}.{part}", layer.name);
            let vector = |part: &str, id: ParameterId| {
                let Parameter { offset, outputs, .. } = *self.parameter(id);
                StateDictTensor::vector_of(name(part), Vector::Parameters, Some(offset), outputs)
            };
            match &layer.kind {
                LayerKind::Conv { weight, bias, .. } => {
                    let input = self.layers[layer.inputs[0].0].shape;
                    tensors.push(weights(name("weight"), self.parameter(*weight), input));
                    tensors.extend(bias.map(|bias| vector("bias", bias)));
                }
                LayerKind::Norm { scale, shift, running, .. } => {
                    let channels = Channels::of(layer);
                    let constant = StateDictTensor::vector_of(
                        name("weight"),
                        Vector::Parameters,
                        None,
                        channels,
                    );
                    tensors.push(scale.map_or(constant, |scale| vector("weight", scale)));
                    tensors.push(vector("bias", *shift));
                    if let Some(running) = running.map(|index| &self.running[index]) {
                        let parts = [("running_mean", 0), ("running_var", channels.stored)];
                        tensors.extend(parts.map(|(part, first)| {
                            let offset = Some(running.offset + first);
                            StateDictTensor::vector_of(
                                name(part),
                                Vector::Running,
                                offset,
                                channels,
                            )
                        }));
                    }
                }
                _ => {}
            }
        }
        tensors
    }
}

fn weights(name: String, parameter: &Parameter, input: Shape) -> StateDictTensor {
    let Parameter { offset, len, inputs, outputs, .. } = *parameter;
    let (shape, [height, width]) = match parameter.shape[..] {
        [height, width, inputs, outputs] => (vec![outputs, inputs, height, width], [height, width]),
        _ => (vec![outputs.count, input.len()], [input.height, input.width]),
    };
    let kernel = Some(Kernel { height, width, inputs, outputs });
    let (vector, offset) = (Vector::Parameters, Some(offset));
    StateDictTensor { name, shape, vector, offset, stored: len, kernel }
}

#[cfg(test)]
mod tests {
    use crate::nn::{Network, Normalisation, Padding, Shape};

    fn network() -> Network {
        let mut b = Network::builder("small", Shape::new(4, 6, 2));
        let mut x = b.input();
        x = b.conv("conv", x, 3, 3, 2, Padding::Same, true);
        x = b.norm("norm", x, Normalisation { scale: false, ..Normalisation::batch() });
        b.linear("fc", x, 5);
        b.build().unwrap()
    }

    #[test]
    fn names_and_shapes_are_pytorchs() {
        let tensors = network().state_dict();
        let found: Vec<(&str, &[usize])> =
            tensors.iter().map(|t| (t.name.as_str(), t.shape.as_slice())).collect();
        let expected: [(&str, &[usize]); 8] = [
            ("conv.weight", &[3, 2, 3, 3]),
            ("conv.bias", &[3]),
            ("norm.weight", &[3]),
            ("norm.bias", &[3]),
            ("norm.running_mean", &[3]),
            ("norm.running_var", &[3]),
            ("fc.weight", &[5, 18]),
            ("fc.bias", &[5]),
        ];
        assert_eq!(found, expected);
        assert_eq!(tensors[2].offset, None, "the scale is constant");
    }

    #[test]
    fn weights_are_transposed_there_and_back() {
        let network = network();
        let tensors = network.state_dict();
        // The convolution's 3 channels are stored as 4: the flat vector holds its own positions,
        // and the zeros between them stay zeros.
        let parameter = &network.parameters[0];
        let mut flat = vec![0; network.parameters_len];
        for index in 0..parameter.count() {
            flat[parameter.position(index)] = 1 + index as u32;
        }
        let theirs = tensors[0].to_pytorch(&flat);
        // Output 1, input 1, row 2, column 0.
        assert_eq!(theirs[((2 + 1) * 3 + 2) * 3], 1 + ((2 * 3) * 2 + 1) * 3 + 1);
        assert_eq!(tensors[0].to_ours(&theirs), flat[parameter.offset..][..72]);
        // A flattened 2×3×3 image: feature (channel 2, row 1, column 0) of output 4.
        let parameter = network.parameters.iter().find(|p| p.name == "fc.weight").unwrap();
        for index in 0..parameter.count() {
            flat[parameter.position(index)] = 1 + index as u32;
        }
        let theirs = tensors[6].to_pytorch(&flat);
        assert_eq!(theirs[4 * 18 + (2 * 2 + 1) * 3], 1 + ((3) * 3 + 2) * 5 + 4);
        assert_eq!(tensors[6].to_ours(&theirs), flat[parameter.offset..][..2 * 3 * 4 * 5]);
    }
}
