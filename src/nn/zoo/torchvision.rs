//! ResNets as torchvision builds them, layer for layer and name for name, so that its weights can
//! be loaded.

use crate::nn::{BuildError, LayerId, Network, NetworkBuilder, Normalisation, Padding, Shape};

/// A residual network in torchvision's layout (He et al., 2016): a 7×7 convolution and max pooling
/// in front, four stages of blocks whose ReLU follows the sum, projections where a shortcut changes
/// its shape. Layers are called as in `torchvision.models.resnet18().state_dict()`.
#[derive(Clone, Debug)]
pub struct TorchvisionResNet {
    /// Blocks in each of the four stages.
    pub blocks: [usize; 4],
    /// Whether a block is a bottleneck of 1×1, 3×3 and 1×1 convolutions, four times as wide at its
    /// end, or two 3×3 convolutions. The stride is in the 3×3 convolution ("v1.5"), as in
    /// torchvision, not in the first one, as in the paper.
    pub bottleneck: bool,
    /// Normalisation behind each convolution; torchvision's is [`Normalisation::batch`].
    pub norm: Normalisation,
}

/// Channels of the stem and of the first stage's 3×3 convolutions.
const WIDTH: usize = 64;

/// Output channels of a bottleneck for each channel of its 3×3 convolution.
const EXPANSION: usize = 4;

impl TorchvisionResNet {
    /// ResNet-18, ResNet-34 or ResNet-50 with BatchNorm.
    ///
    /// # Errors
    /// When `depth` is another number.
    pub fn new(depth: usize) -> Result<Self, BuildError> {
        let (blocks, bottleneck) = match depth {
            18 => ([2, 2, 2, 2], false),
            34 => ([3, 4, 6, 3], false),
            50 => ([3, 4, 6, 3], true),
            _ => {
                let reason = format!("depth {depth} is not among torchvision's: 18, 34 or 50");
                return Err(BuildError { layer: "resnet".into(), reason });
            }
        };
        Ok(Self { blocks, bottleneck, norm: Normalisation::batch() })
    }

    /// Builds the network for images of any size. torchvision's weights are of images with three
    /// channels. Convolutions start with He's deviation by fan-out, as in torchvision, but from a
    /// truncated normal distribution.
    ///
    /// # Errors
    /// When the input is empty, there are fewer than two classes, or the normalisation does not
    /// suit the widths.
    pub fn build(&self, name: &str, input: Shape, classes: usize) -> Result<Network, BuildError> {
        let mut b = Network::builder(name, input);
        let mut x = b.input();
        x = b.conv("conv1", x, WIDTH, 7, 2, Padding::Zeros(3), false);
        x = b.norm("bn1", x, self.norm);
        x = b.relu("relu", x);
        x = b.max_pool("maxpool", x, 3, 2, Padding::Zeros(1));
        for (stage, blocks) in self.blocks.into_iter().enumerate() {
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                // Only the first block of a stage changes the shape.
                let projects = block == 0 && (stage > 0 || self.bottleneck);
                let name = format!("layer{}.{block}", stage + 1);
                x = self.block(&mut b, &name, x, WIDTH << stage, stride, projects);
            }
        }
        x = b.global_average_pool("avgpool", x);
        b.linear("fc", x, classes);
        b.build()
    }

    fn block(
        &self,
        b: &mut NetworkBuilder,
        name: &str,
        input: LayerId,
        width: usize,
        stride: usize,
        projects: bool,
    ) -> LayerId {
        let outputs = if self.bottleneck { EXPANSION * width } else { width };
        // Filters, size and stride of each convolution.
        let convs: &[(usize, usize, usize)] = if self.bottleneck {
            &[(width, 1, 1), (width, 3, stride), (outputs, 1, 1)]
        } else {
            &[(width, 3, stride), (outputs, 3, 1)]
        };
        let mut x = input;
        for (number, &(filters, kernel, stride)) in (1..).zip(convs) {
            let (conv, bn) = (format!("{name}.conv{number}"), format!("{name}.bn{number}"));
            x = b.conv(&conv, x, filters, kernel, stride, Padding::Zeros(kernel / 2), false);
            x = b.norm(&bn, x, self.norm);
            if number < convs.len() {
                x = b.relu(&format!("{name}.relu{number}"), x);
            }
        }
        let mut shortcut = input;
        if projects {
            let (conv, bn) = (format!("{name}.downsample.0"), format!("{name}.downsample.1"));
            shortcut = b.conv(&conv, input, outputs, 1, stride, Padding::Valid, false);
            shortcut = b.norm(&bn, shortcut, self.norm);
        }
        x = b.residual(&format!("{name}.add"), x, shortcut);
        b.relu(&format!("{name}.relu"), x)
    }
}
