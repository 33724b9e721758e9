#!/usr/bin/env python3
"""The model zoo in PyTorch, under the names and layouts of the crate's safetensors files, and logits to hold both to.

    python3 tests/goldens/pytorch_zoo.py              write pytorch_zoo.json: shapes of the state dicts, and logits
    python3 tests/goldens/pytorch_zoo.py --check      recompute and compare with the committed file
    python3 tests/goldens/pytorch_zoo.py --import DIR load files that the crate wrote (the test `pytorch` leaves them in
                                                      target/tmp/pytorch) and compare PyTorch's logits with the crate's

Tensor number t of a state dict (num_batches_tracked not counted) has the elements uniform(t, i), scaled: see `fill`.
Images are bytes from the same hash. Everything is computed in float64 and compared to 1e-4. The ResNets called
torchvision's are torchvision's own modules.
"""

import argparse
import dataclasses
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from networks import hashed, uniform
from safetensors.torch import load_file
from torch import nn

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / "pytorch_zoo.json"
TOLERANCE = 1e-4


def fill(number, name, shape):
    """Values of a tensor, computed in float32 as the crate's test does."""
    value = uniform(number, shape)
    if name.endswith("running_var"):
        return np.float32(1) + np.float32(0.5) * value
    if name.endswith("weight") and len(shape) > 1:
        return value * np.float32(math.sqrt(3.0 / math.prod(shape[1:])))
    if name.endswith("weight"):
        return np.float32(1) + np.float32(0.25) * value
    return value * np.float32(0.1)


class Same(nn.Conv2d):
    """Padding as TensorFlow's SAME: what is odd goes below and to the right."""

    def forward(self, x):
        return super().forward(pad_same(x, self.kernel_size[0], self.stride[0], 0.0))


def pad_same(x, kernel, stride, value):
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


class Mlp(nn.Module):
    def __init__(self, channels, size, classes):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(channels * size * size, 256), nn.Linear(256, 128)
        self.fc3 = nn.Linear(128, classes)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class MlpLayerNormGelu(nn.Module):
    def __init__(self, channels, size, widths, classes):
        super().__init__()
        inputs, self.depth = channels * size * size, len(widths)
        for layer, width in enumerate(widths, 1):
            setattr(self, f"fc{layer}", nn.Linear(inputs, width))
            setattr(self, f"norm{layer}", nn.LayerNorm(width))
            inputs = width
        setattr(self, f"fc{self.depth + 1}", nn.Linear(inputs, classes))

    def forward(self, x):
        x = x.flatten(1)
        for layer in range(1, self.depth + 1):
            x = F.gelu(getattr(self, f"norm{layer}")(getattr(self, f"fc{layer}")(x)))
        return getattr(self, f"fc{self.depth + 1}")(x)


class MnistLenet(nn.Module):
    def __init__(self, channels, size, classes):
        super().__init__()
        self.conv1, self.conv2 = Same(channels, 16, 5), Same(16, 32, 5)
        self.conv3 = Same(32, 64, 5)
        for _ in range(3):
            size = math.ceil(size / 2)
        self.fc1, self.fc2 = nn.Linear(64 * size * size, 100), nn.Linear(100, classes)

    def forward(self, x):
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.relu(F.max_pool2d(pad_same(conv(x), 3, 2, -math.inf), 3, 2))
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class Lenet5(nn.Module):
    def __init__(self, channels, size, classes):
        super().__init__()
        self.conv1, self.conv2 = Same(channels, 6, 5), nn.Conv2d(6, 16, 5)
        size = (size // 2 - 4) // 2
        self.fc1, self.fc2 = nn.Linear(16 * size * size, 120), nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x):
        for conv in (self.conv1, self.conv2):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


def norm_of(groups, channels):
    return nn.BatchNorm2d(channels) if groups is None else nn.GroupNorm(groups, channels)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, groups):
        super().__init__()
        self.norm1, self.conv1 = norm_of(groups, inputs), Same(inputs, outputs, 3, stride, bias=False)
        self.norm2, self.conv2 = norm_of(groups, outputs), Same(outputs, outputs, 3, bias=False)
        self.stride, self.extra = stride, outputs - inputs

    def forward(self, x):
        y = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
        shortcut = F.avg_pool2d(x, self.stride) if self.stride > 1 else x
        before = self.extra // 2
        return y + F.pad(shortcut, (0, 0, 0, 0, before, self.extra - before))


class Resnet(nn.Module):
    """Pre-activation, parameter-free shortcuts. Dropout, where there is some, is off in evaluation."""

    def __init__(self, channels, classes, stem, widths, blocks, groups=None):
        super().__init__()
        self.stem, inputs = Same(channels, stem, 3, bias=False), stem
        for stage, width in enumerate(widths, 1):
            blocks_of_stage = nn.Module()
            for block in range(1, blocks + 1):
                stride = 2 if stage > 1 and block == 1 else 1
                setattr(blocks_of_stage, f"block{block}", Block(inputs, width, stride, groups))
                inputs = width
            setattr(self, f"stage{stage}", blocks_of_stage)
        self.norm, self.fc = norm_of(groups, inputs), nn.Linear(inputs, classes)
        self.stages, self.blocks = len(widths), blocks

    def forward(self, x):
        x = self.stem(x)
        for stage in range(1, self.stages + 1):
            for block in range(1, self.blocks + 1):
                x = getattr(getattr(self, f"stage{stage}"), f"block{block}")(x)
        return self.fc(F.relu(self.norm(x)).mean((2, 3)))


@dataclasses.dataclass
class Entry:
    """A network with ten classes, for square images. What takes long is left to `make soak`."""

    module: nn.Module
    channels: int
    side: int
    examples: int = 5
    soak: bool = False

    def images(self):
        """What the network sees of [examples, side, side, channels] bytes, as the crate takes them."""
        shape = (self.examples, self.side, self.side, self.channels)
        pixels = (hashed(9000, math.prod(shape)) >> np.uint32(24)).astype(np.uint8).reshape(shape)
        x = torch.tensor(pixels.astype(np.float64) / 255).permute(0, 3, 1, 2)
        return (x - 0.5) / 0.5

    def logits(self, state):
        module = self.module.double().eval()
        missing, unexpected = module.load_state_dict(state, strict=False)
        assert not unexpected and all("num_batches" in name for name in missing), (missing, unexpected)
        with torch.no_grad():
            return module(self.images()).tolist()


def torchvisions(depth, **options):
    return Entry(getattr(torchvision.models, f"resnet{depth}")(num_classes=10), 3, **options)


# Names as `zoo::by_name` knows them.
ZOO = {
    "mlp": Entry(Mlp(3, 8, 10), 3, 8),
    "mlp-70-33-ln-gelu": Entry(MlpLayerNormGelu(3, 5, [70, 33], 10), 3, 5),
    "mnist_lenet": Entry(MnistLenet(1, 28, 10), 1, 28),
    "lenet5": Entry(Lenet5(1, 28, 10), 1, 28),
    "resnet8": Entry(Resnet(3, 10, 16, [16, 32, 64], 1), 3, 12),
    "resnet14-w8": Entry(Resnet(3, 10, 8, [8, 16, 32], 2), 3, 12),
    "resnet8-gn4": Entry(Resnet(3, 10, 16, [16, 32, 64], 1, groups=4), 3, 12),
    "wrn-10-2": Entry(Resnet(3, 10, 16, [32, 64, 128], 1), 3, 12),
    "torchvision-resnet18": torchvisions(18, side=224, examples=2),
    "torchvision-resnet34": torchvisions(34, side=75, examples=2, soak=True),
    "torchvision-resnet50": torchvisions(50, side=224, examples=2, soak=True),
}


def state_of(module):
    return {name: tensor for name, tensor in module.state_dict().items() if "num_batches" not in name}


def recompute():
    golden = {}
    for name, entry in ZOO.items():
        shapes = {key: list(tensor.shape) for key, tensor in state_of(entry.module).items()}
        state = {
            key: torch.tensor(fill(number, key, shape)).double() for number, (key, shape) in enumerate(shapes.items())
        }
        rounded = [[round(value, 8) for value in row] for row in entry.logits(state)]
        facts = {"channels": entry.channels, "side": entry.side, "soak": entry.soak}
        golden[name] = facts | {"tensors": list(shapes.items()), "logits": rounded}
    return golden


def compare(name, found, expected):
    error = np.abs(np.array(found) - np.array(expected)).max()
    assert error < TOLERANCE, f"{name}: logits differ by {error}"
    print(f"{name:<20} logits agree to {error:.1e}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--import", dest="folder", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.folder:
        for name, entry in ZOO.items():
            if entry.soak and not (arguments.folder / f"{name}.json").exists():
                print(f"{name:<20} no file: `make soak` writes it")
                continue
            state = {key: value.double() for key, value in load_file(arguments.folder / f"{name}.safetensors").items()}
            crate = json.loads((arguments.folder / f"{name}.json").read_text())
            compare(name, entry.logits(state), crate)
    elif arguments.check:
        committed = json.loads(GOLDEN.read_text())
        for name, golden in recompute().items():
            tensors = [list(tensor) for tensor in golden["tensors"]]
            assert tensors == committed[name]["tensors"], name
            compare(name, golden["logits"], committed[name]["logits"])
    else:
        lines = [f"{json.dumps(name)}: {json.dumps(golden)}" for name, golden in recompute().items()]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
