//! The networks of the papers this crate reproduces, their relatives, and networks whose trained
//! weights are at hand.

mod torchvision;

pub use torchvision::TorchvisionResNet;

use super::{BuildError, Init, LayerId, Network, NetworkBuilder, Normalisation, Padding, Shape};

/// Multilayer perceptron with ReLUs: `hidden` layers of the given widths.
///
/// # Errors
/// When a width or the number of classes is out of range.
pub fn mlp(input: Shape, hidden: &[usize], classes: usize) -> Result<Network, BuildError> {
    Mlp { hidden: hidden.to_vec(), layer_norm: false, gelu: false }.build("mlp", input, classes)
}

/// Options of a multilayer perceptron.
#[derive(Clone, Debug)]
pub struct Mlp {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Whether a LayerNorm is between each hidden layer and its activation.
    pub layer_norm: bool,
    /// GELU as the activation instead of ReLU.
    pub gelu: bool,
}

impl Mlp {
    /// Builds the network: linear layers `fc1`, `fc2`, …, the hidden ones each followed by
    /// `norm<i>`, if it has LayerNorm, and its activation.
    ///
    /// # Errors
    /// When a width or the number of classes is out of range.
    pub fn build(&self, name: &str, input: Shape, classes: usize) -> Result<Network, BuildError> {
        let mut b = Network::builder(name, input);
        let mut x = b.input();
        for (index, &width) in (1..).zip(&self.hidden) {
            x = b.linear(&format!("fc{index}"), x, width);
            if self.layer_norm {
                x = b.layer_norm(&format!("norm{index}"), x);
            }
            x = match self.gelu {
                true => b.gelu(&format!("gelu{index}"), x),
                false => b.relu(&format!("relu{index}"), x),
            };
        }
        b.linear(&format!("fc{}", self.hidden.len() + 1), x, classes);
        b.build()
    }
}

/// The LeNet of the official L2RW code for MNIST: three 5×5 convolutions of 16, 32 and 64
/// channels, each followed by 3×3 max pooling of stride 2 and a ReLU; then 100 hidden units.
///
/// # Errors
/// When the input is empty or there are fewer than two classes.
pub fn mnist_lenet(input: Shape, classes: usize) -> Result<Network, BuildError> {
    let mut b = Network::builder("mnist_lenet", input);
    let init = Init::TruncatedNormal(0.1);
    b.weight_init(init);
    let mut x = b.input();
    for (index, filters) in (1..).zip([16, 32, 64]) {
        x = b.conv(&format!("conv{index}"), x, filters, 5, 1, Padding::Same, true);
        x = b.max_pool(&format!("pool{index}"), x, 3, 2, Padding::Same);
        x = b.relu(&format!("relu{index}"), x);
    }
    x = b.linear_init("fc1", x, 100, init);
    x = b.relu("relu4", x);
    b.linear_init("fc2", x, classes, init);
    b.build()
}

/// LeNet-5 (LeCun et al., 1998) with ReLUs and max pooling; the first convolution pads, so that
/// 28×28 images fit.
///
/// # Errors
/// When the input is smaller than 12×12 or there are fewer than two classes.
pub fn lenet5(input: Shape, classes: usize) -> Result<Network, BuildError> {
    let mut b = Network::builder("lenet5", input);
    b.weight_init(Init::HeFanIn);
    let mut x = b.input();
    for (index, filters, padding) in [(1, 6, Padding::Same), (2, 16, Padding::Valid)] {
        x = b.conv(&format!("conv{index}"), x, filters, 5, 1, padding, true);
        x = b.relu(&format!("relu{index}"), x);
        x = b.max_pool(&format!("pool{index}"), x, 2, 2, Padding::Valid);
    }
    for (index, width) in [(1, 120), (2, 84)] {
        x = b.linear(&format!("fc{index}"), x, width);
        x = b.relu(&format!("relu{}", index + 2), x);
    }
    b.linear("fc3", x, classes);
    b.build()
}

/// The LeNet of Caffe's MNIST example, which later frameworks took over: two 5×5 convolutions of 20
/// and 50 channels without padding, each followed by 2×2 max pooling; then 500 hidden units, the
/// only ones with a ReLU.
///
/// # Errors
/// When the input is smaller than 16×16 or there are fewer than two classes.
pub fn caffe_lenet(input: Shape, classes: usize) -> Result<Network, BuildError> {
    let mut b = Network::builder("caffe_lenet", input);
    b.weight_init(Init::HeFanIn);
    let mut x = b.input();
    for (index, filters) in (1..).zip([20, 50]) {
        x = b.conv(&format!("conv{index}"), x, filters, 5, 1, Padding::Valid, true);
        x = b.max_pool(&format!("pool{index}"), x, 2, 2, Padding::Valid);
    }
    x = b.linear("fc1", x, 500);
    x = b.relu("relu", x);
    b.linear("fc2", x, classes);
    b.build()
}

/// Options of a residual network.
#[derive(Clone, Debug)]
pub struct ResNet {
    /// Blocks in each of the three stages.
    pub blocks: usize,
    /// Channels of the stem.
    pub stem: usize,
    /// Channels of each stage.
    pub widths: [usize; 3],
    /// Normalisation before each convolution but the first.
    pub norm: Normalisation,
    /// Dropout before the first convolution of each block.
    pub dropout: f32,
}

impl ResNet {
    /// ResNet of `depth` = 6·blocks + 2 layers for CIFAR (He et al., 2016), widths 16, 32, 64.
    ///
    /// # Errors
    /// When `depth` is not 8, 14, 20, 26, 32, …
    pub fn cifar(depth: usize, norm: Normalisation) -> Result<Self, BuildError> {
        if depth < 8 || depth % 6 != 2 {
            let reason = format!("depth {depth} is not 6·blocks + 2: choose 8, 14, 20, 26, 32, …");
            return Err(BuildError { layer: "resnet".into(), reason });
        }
        Ok(Self { blocks: (depth - 2) / 6, stem: 16, widths: [16, 32, 64], norm, dropout: 0.0 })
    }

    /// WideResNet-`depth`-`factor` (Zagoruyko and Komodakis, 2016) with dropout.
    ///
    /// # Errors
    /// When `depth` is not 10, 16, 22, 28, … or `factor` is 0.
    pub fn wide(
        depth: usize,
        factor: usize,
        norm: Normalisation,
        dropout: f32,
    ) -> Result<Self, BuildError> {
        if depth < 10 || depth % 6 != 4 || factor == 0 {
            let reason = format!("depth {depth} is not 6·blocks + 4, or factor {factor} is 0");
            return Err(BuildError { layer: "wide_resnet".into(), reason });
        }
        let widths = [16 * factor, 32 * factor, 64 * factor];
        Ok(Self { blocks: (depth - 4) / 6, stem: 16, widths, norm, dropout })
    }

    /// The same with other widths.
    pub fn with_widths(mut self, widths: [usize; 3]) -> Self {
        self.stem = widths[0];
        self.widths = widths;
        self
    }

    /// Builds the pre-activation network: stem, three stages, norm, ReLU, global average pool,
    /// linear layer. Blocks are norm–ReLU–\[dropout\]–conv–norm–ReLU–conv with a parameter-free
    /// shortcut.
    ///
    /// # Errors
    /// When a width does not suit the normalisation, or the image is too small.
    pub fn build(&self, name: &str, input: Shape, classes: usize) -> Result<Network, BuildError> {
        let mut b = Network::builder(name, input);
        let mut x = b.input();
        x = b.conv("stem", x, self.stem, 3, 1, Padding::Same, false);
        for (stage, width) in (1..).zip(self.widths) {
            for block in 1..=self.blocks {
                let stride = if stage > 1 && block == 1 { 2 } else { 1 };
                x = self.block(&mut b, &format!("stage{stage}.block{block}"), x, width, stride);
            }
        }
        x = b.norm("norm", x, self.norm);
        x = b.relu("relu", x);
        x = b.global_average_pool("pool", x);
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
    ) -> LayerId {
        let at = |part: &str| format!("{name}.{part}");
        let mut x = b.norm(&at("norm1"), input, self.norm);
        x = b.relu(&at("relu1"), x);
        x = b.dropout(&at("dropout"), x, self.dropout);
        x = b.conv(&at("conv1"), x, width, 3, stride, Padding::Same, false);
        x = b.norm(&at("norm2"), x, self.norm);
        x = b.relu(&at("relu2"), x);
        x = b.conv(&at("conv2"), x, width, 3, 1, Padding::Same, false);
        b.residual(&at("add"), x, input)
    }
}

/// A network by name:
///
/// - `mlp`, with the suffixes `-<width>` (one for each hidden layer, 256 and 128 where there is
///   none), `-ln` (LayerNorm) and `-gelu`, e.g. `mlp-512-ln-gelu`
/// - `lenet5`, `mnist_lenet`, `caffe_lenet`
/// - `resnet<depth>`, `wrn-<depth>-<factor>`, with the suffixes `-w<width>` (channels of the first
///   stage) and `-gn<groups>` (GroupNorm instead of `norm`), e.g. `resnet8-w8`, `resnet20-gn8`,
///   `wrn-28-10`
/// - `torchvision-resnet18`, `-resnet34` and `-resnet50` ([`TorchvisionResNet`]), which have
///   torchvision's BatchNorm, whatever `norm` says
///
/// # Errors
/// When the name is unknown, or the network does not suit the input.
pub fn by_name(
    name: &str,
    input: Shape,
    classes: usize,
    norm: Normalisation,
) -> Result<Network, BuildError> {
    match name {
        "lenet5" => lenet5(input, classes),
        "mnist_lenet" => mnist_lenet(input, classes),
        "caffe_lenet" => caffe_lenet(input, classes),
        _ if name.split('-').next() == Some("mlp") => {
            mlp_by_name(name)?.build(name, input, classes)
        }
        _ => match name.strip_prefix("torchvision-resnet") {
            Some(depth) => {
                let depth = depth.parse().map_err(|_| unknown(name))?;
                TorchvisionResNet::new(depth)?.build(name, input, classes)
            }
            None => residual_by_name(name, norm)?.build(name, input, classes),
        },
    }
}

fn mlp_by_name(name: &str) -> Result<Mlp, BuildError> {
    let mut mlp = Mlp { hidden: Vec::new(), layer_norm: false, gelu: false };
    for part in name.split('-').skip(1) {
        match part {
            "ln" => mlp.layer_norm = true,
            "gelu" => mlp.gelu = true,
            width => mlp.hidden.push(width.parse().map_err(|_| unknown(name))?),
        }
    }
    if mlp.hidden.is_empty() {
        mlp.hidden = vec![256, 128];
    }
    Ok(mlp)
}

fn unknown(name: &str) -> BuildError {
    BuildError {
        layer: name.into(),
        reason: "no network has this name; choose mlp, with -<width>, -ln or -gelu behind it, \
                 lenet5, mnist_lenet, caffe_lenet, resnet<depth> or wrn-<depth>-<factor>, with \
                 -w<width> or -gn<groups> behind the last two, or torchvision-resnet18, \
                 -resnet34 or -resnet50"
            .into(),
    }
}

fn residual_by_name(name: &str, norm: Normalisation) -> Result<ResNet, BuildError> {
    let unknown = || unknown(name);
    let number = |text: &str| text.parse::<usize>().map_err(|_| unknown());
    let (wide, rest) = match (name.strip_prefix("resnet"), name.strip_prefix("wrn-")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return Err(unknown()),
    };
    let mut parts = rest.split('-');
    let depth = number(parts.next().unwrap_or_default())?;
    let factor = if wide { number(parts.next().unwrap_or_default())? } else { 1 };
    let (mut norm, mut width) = (norm, None);
    for part in parts {
        match (part.strip_prefix("gn"), part.strip_prefix('w')) {
            (Some(groups), _) => norm = Normalisation::group(number(groups)?),
            (_, Some(channels)) => width = Some(number(channels)?),
            _ => return Err(unknown()),
        }
    }
    let net = match wide {
        true => ResNet::wide(depth, factor, norm, 0.3)?,
        false => ResNet::cifar(depth, norm)?,
    };
    Ok(match width {
        Some(w) => net.with_widths([w, 2 * w, 4 * w]),
        None => net,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Result<Network, BuildError> {
        by_name(name, Shape::new(9, 8, 3), 4, Normalisation::batch())
    }

    #[test]
    fn the_suffixes_of_a_perceptron_say_its_widths_norm_and_activation() {
        let layers = |name: &str| {
            let network = named(name).unwrap();
            let layers = network.layers.iter().skip(1);
            layers.map(|layer| format!("{} {}", layer.name, layer.shape.channels)).collect()
        };
        let found: Vec<String> = layers("mlp-7-5-ln-gelu");
        let expected = ["fc1 7", "norm1 7", "gelu1 7", "fc2 5", "norm2 5", "gelu2 5", "fc3 4"];
        assert_eq!(found, expected);
        let found: Vec<String> = layers("mlp");
        assert_eq!(found, ["fc1 256", "relu1 256", "fc2 128", "relu2 128", "fc3 4"]);
    }

    #[test]
    fn a_name_that_no_network_has_is_refused_with_those_that_there_are() {
        for name in ["mlp-wide", "mlp-0", "mlpx", "torchvision-resnetx", "torchvision-resnet20"] {
            assert!(named(name).is_err(), "{name}");
        }
        let message = named("mlp-wide").unwrap_err().to_string();
        assert!(message.contains("mlp-wide") && message.contains("-resnet50"), "{message}");
    }

    #[test]
    fn layer_norm_of_an_image_is_refused() {
        let mut b = Network::builder("image", Shape::new(3, 1, 4));
        let x = b.layer_norm("norm", b.input());
        b.linear("fc", x, 2);
        let message = b.build().unwrap_err().to_string();
        assert!(message.contains("layer 'norm'") && message.contains("3x1x4"), "{message}");
    }
}
