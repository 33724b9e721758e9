"""The networks of the goldens in PyTorch, with parameters in the crate's layouts, and the hash that all inputs come from."""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------------------------------------------------
# Inputs: one integer hash, exact in float32 everywhere


def pcg_hash(x):
    """The PCG-RXS-M-XS hash of u32 values (wrapping arithmetic)."""
    state = np.atleast_1d(np.asarray(x, np.uint32)) * np.uint32(747796405) + np.uint32(2891336453)
    word = ((state >> ((state >> np.uint32(28)) + np.uint32(4))) ^ state) * np.uint32(277803737)
    return (word >> np.uint32(22)) ^ word


def hashed(tag, count):
    return pcg_hash(pcg_hash(tag) ^ np.arange(count, dtype=np.uint32))


def uniform(tag, shape):
    """Float32 values in [-1, 1): 24 bits of hash each, so the conversion is exact."""
    values = (hashed(tag, math.prod(shape)) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
    return values.reshape(shape)


def labels(tag, count, classes):
    return (hashed(tag, count) % np.uint32(classes)).astype(np.int64)


# ---------------------------------------------------------------------------------------------------------------------
# Networks: parameters in the crate's layouts ([kh,kw,ci,co], [in,out]), NHWC images; NCHW only inside a Pass


@dataclass(frozen=True)
class Param:
    """One parameter tensor: `layer.kind`, kind one of weight, bias, scale, shift."""

    layer: str
    kind: str
    shape: tuple

    @property
    def name(self):
        return f"{self.layer}.{self.kind}"

    @property
    def decayed(self):
        return self.kind == "weight"

    def initial(self, number):
        """Value of the parameter with this number in the network's order. All arithmetic is in float32."""
        value = uniform(100 + number, self.shape)
        if self.kind == "weight":
            fan_in = math.prod(self.shape[:-1])
            return value * np.float32(math.sqrt(3.0 / fan_in))
        if self.kind == "scale":
            return np.float32(1) + np.float32(0.25) * value
        return value * np.float32(0.1)

    def initial_momentum(self, number):
        return uniform(200 + number, self.shape) * np.float32(0.01)


def dense(layer, *shape, bias=True):
    """The parameters of a convolution ([kh,kw,ci,co]) or a linear layer ([in,out])."""
    return [Param(layer, "weight", shape)] + ([Param(layer, "bias", shape[-1:])] if bias else [])


class Pass:
    """One forward pass over one batch: the layers, and a record of what went through the delicate ones."""

    def __init__(self, theta, eps=None):
        self.theta, self.eps = theta, eps
        self.batch_statistics = {}  # BatchNorm layer -> (mean, unbiased variance)
        self.relu_inputs, self.pool_windows = [], []

    def conv(self, layer, x, stride=1, padding="same"):
        weight = self.theta[f"{layer}.weight"]
        x = padded(x, weight.shape[0], stride, padding, 0.0)
        return F.conv2d(x, weight.permute(3, 2, 0, 1), self.theta.get(f"{layer}.bias"), stride)

    def linear(self, layer, x):
        return x @ self.theta[f"{layer}.weight"] + self.theta[f"{layer}.bias"]

    def relu(self, x):
        self.relu_inputs.append(x)
        return F.relu(x)

    def max_pool(self, x, size, stride, padding="same"):
        x = padded(x, size, stride, padding, -math.inf)
        self.pool_windows.append(x.unfold(2, size, stride).unfold(3, size, stride).flatten(-2))
        return F.max_pool2d(x, size, stride)

    def norm(self, layer, x, groups):
        """GroupNorm, or (groups None) BatchNorm on this batch's own statistics."""
        shift = self.theta[f"{layer}.shift"]
        scale = self.theta.get(f"{layer}.scale", torch.ones_like(shift))  # torch cannot differentiate None twice
        if groups is not None:
            return F.group_norm(x, groups, scale, shift, self.eps)
        self.batch_statistics[layer] = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=True)
        return F.batch_norm(x, None, None, scale, shift, training=True, eps=self.eps)


def padded(x, size, stride, padding, value):
    """`padding` is "valid", a number of elements on each side, or "same", TensorFlow's: the odd one goes after."""
    if padding == "valid":
        return x
    if padding != "same":
        return F.pad(x, (padding,) * 4, value=value)
    total = [max((-(-extent // stride) - 1) * stride + size - extent, 0) for extent in x.shape[2:]]
    (top, bottom), (left, right) = [(t // 2, t - t // 2) for t in total]
    return F.pad(x, (left, right, top, bottom), value=value)


def flatten_hwc(x):
    return x.permute(0, 2, 3, 1).flatten(1)


class MnistLenet:
    """The network of the official L2RW code for MNIST (with ten classes)."""

    name, image, mixes_examples = "mnist_lenet", (28, 28, 1), False

    def params(self):
        return (dense("conv1", 5, 5, 1, 16) + dense("conv2", 5, 5, 16, 32) + dense("conv3", 5, 5, 32, 64)
                + dense("fc1", 1024, 100) + dense("fc2", 100, 10))  # fmt: skip

    def forward(self, run, x):
        for layer in ("conv1", "conv2", "conv3"):
            x = run.relu(run.max_pool(run.conv(layer, x), 3, 2))
        return run.linear("fc2", run.relu(run.linear("fc1", flatten_hwc(x))))


class Lenet5:
    """LeNet-5 with ReLU and max-pooling."""

    name, image, mixes_examples = "lenet5", (28, 28, 1), False

    def params(self):
        return (dense("conv1", 5, 5, 1, 6) + dense("conv2", 5, 5, 6, 16)
                + dense("fc1", 400, 120) + dense("fc2", 120, 84) + dense("fc3", 84, 10))  # fmt: skip

    def forward(self, run, x):
        x = run.max_pool(run.relu(run.conv("conv1", x)), 2, 2, "valid")
        x = run.max_pool(run.relu(run.conv("conv2", x, padding="valid")), 2, 2, "valid")
        x = run.relu(run.linear("fc1", flatten_hwc(x)))
        return run.linear("fc3", run.relu(run.linear("fc2", x)))


class MlpLayerNormGelu:
    """Linear layers, each hidden one followed by LayerNorm and GELU."""

    name, image, mixes_examples, widths = "mlp_layernorm_gelu", (5, 6, 3), False, (24, 13)

    def params(self):
        params, inputs = [], math.prod(self.image)
        for number, width in enumerate(self.widths, 1):
            params += dense(f"fc{number}", inputs, width)
            params += [Param(f"norm{number}", kind, (width,)) for kind in ("scale", "shift")]
            inputs = width
        return params + dense("fc3", inputs, 10)

    def forward(self, run, x):
        x = flatten_hwc(x)
        for number, width in enumerate(self.widths, 1):
            scale, shift = (run.theta[f"norm{number}.{kind}"] for kind in ("scale", "shift"))
            x = F.gelu(F.layer_norm(run.linear(f"fc{number}", x), (width,), scale, shift, run.eps))
        return run.linear("fc3", x)


class Resnet8:
    """Pre-activation ResNet-8: one block a stage, parameter-free shortcuts, BatchNorm (groups None) or GroupNorm."""

    image, widths = (12, 12, 3), (4, 8, 16)

    def __init__(self, groups=None, scale=True):
        self.groups, self.scale, self.mixes_examples = groups, scale, groups is None
        norm = "batchnorm" if groups is None else "groupnorm"
        self.name = f"resnet8_{norm}" + ("" if scale else "_noscale")

    def params(self):
        def norm(layer, channels):
            kinds = ("scale", "shift") if self.scale else ("shift",)
            return [Param(layer, kind, (channels,)) for kind in kinds]

        params, ci = dense("stem", 3, 3, 3, 4, bias=False), 4
        for stage, co in enumerate(self.widths, 1):
            block = f"stage{stage}.block1"
            params += norm(f"{block}.norm1", ci) + dense(f"{block}.conv1", 3, 3, ci, co, bias=False)
            params += norm(f"{block}.norm2", co) + dense(f"{block}.conv2", 3, 3, co, co, bias=False)
            ci = co
        return params + norm("norm", ci) + dense("fc", ci, 10)

    def forward(self, run, x):
        x = run.conv("stem", x)
        for stage, co in enumerate(self.widths, 1):
            block, stride = f"stage{stage}.block1", 1 if stage == 1 else 2
            y = run.relu(run.norm(f"{block}.norm1", x, self.groups))
            y = run.conv(f"{block}.conv1", y, stride)
            y = run.relu(run.norm(f"{block}.norm2", y, self.groups))
            x = run.conv(f"{block}.conv2", y) + self.shortcut(x, co, stride)
        return run.linear("fc", run.relu(run.norm("norm", x, self.groups)).mean((2, 3)))

    @staticmethod
    def shortcut(x, co, stride):
        before, extra = (co - x.shape[1]) // 2, co - x.shape[1]
        pooled = F.avg_pool2d(x, stride, stride) if stride > 1 else x
        return F.pad(pooled, (0, 0, 0, 0, before, extra - before))


class TorchvisionResnet18:
    """torchvision's ResNet-18: ReLUs behind the sums, projections where a shortcut changes its shape."""

    name, image, mixes_examples = "torchvision_resnet18", (33, 37, 3), True
    # Name, input and output channels, stride of each block.
    blocks = [
        (f"layer{stage + 1}.{block}", (64 << max(stage - 1, 0)) if block == 0 else 64 << stage, 64 << stage,
         2 if stage > 0 and block == 0 else 1)
        for stage in range(4) for block in range(2)
    ]  # fmt: skip

    def params(self):
        def conv_norm(conv, norm, size, ci, co):
            affine = [Param(norm, kind, (co,)) for kind in ("scale", "shift")]
            return dense(conv, size, size, ci, co, bias=False) + affine

        params = conv_norm("conv1", "bn1", 7, 3, 64)
        for block, ci, co, stride in self.blocks:
            params += conv_norm(f"{block}.conv1", f"{block}.bn1", 3, ci, co)
            params += conv_norm(f"{block}.conv2", f"{block}.bn2", 3, co, co)
            if stride > 1:
                params += conv_norm(f"{block}.downsample.0", f"{block}.downsample.1", 1, ci, co)
        return params + dense("fc", 512, 10)

    def forward(self, run, x):
        x = run.relu(run.norm("bn1", run.conv("conv1", x, 2, 3), None))
        x = run.max_pool(x, 3, 2, 1)
        for block, _, _, stride in self.blocks:
            y = run.relu(run.norm(f"{block}.bn1", run.conv(f"{block}.conv1", x, stride, 1), None))
            y = run.norm(f"{block}.bn2", run.conv(f"{block}.conv2", y, 1, 1), None)
            if stride > 1:
                projected = run.conv(f"{block}.downsample.0", x, stride, "valid")
                x = run.norm(f"{block}.downsample.1", projected, None)
            x = run.relu(y + x)
        return run.linear("fc", x.mean((2, 3)))
