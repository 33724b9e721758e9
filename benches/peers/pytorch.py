#!/usr/bin/env python3
"""Seconds of a plain step and of an L2RW step in PyTorch, on the networks and batches of `make bench`.

The L2RW step follows the paper to the letter: per-example losses weighted by eps = 0, a virtual SGD step that stays
differentiable, the clean loss after it, and its gradient with respect to eps by a second backward pass. The weighted
gradient reuses the graph of the first forward pass, which is the fastest way that we know of.

    python3 benches/peers/pytorch.py                              every network, CPU and, where there is one, CUDA
    python3 benches/peers/pytorch.py resnet32 --rounds 9
    python3 benches/peers/pytorch.py --bench target/bench.json    also the ratio of a finished `make bench` to it
    python3 benches/peers/pytorch.py --run-bench                  the two in turn, a round each: for noisy machines
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

ROOT = pathlib.Path(__file__).resolve().parents[2]
N, CLEAN = 100, (100, 10)
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.01, 0.9, 2e-4

# ---------------------------------------------------------------------------------------------------------------------
# Networks: as in src/nn/zoo/mod.rs


def mnist_lenet():
    """Three 5x5 convolutions with TensorFlow's SAME padding, pooling before ReLU."""
    pools = [nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(3, 2, padding=1)]
    layers, channels = [], 1
    for filters, pool in zip((16, 32, 64), pools):
        layers += [nn.Conv2d(channels, filters, 5, padding=2), pool, nn.ReLU()]
        channels = filters
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(1024, 100), nn.ReLU(), nn.Linear(100, 10))


def caffe_lenet():
    """Two 5x5 convolutions of 20 and 50 channels, 500 hidden units."""
    convolutions = [nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))


class Convolution(nn.Module):
    """3x3 without bias, SAME padding: with stride 2 it pads below and to the right only."""

    def __init__(self, channels, width, stride=1):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, width, 3, stride, padding=1 if stride == 1 else 0, bias=False)

    def forward(self, x):
        return self.conv(x if self.stride == 1 else F.pad(x, (0, 1, 0, 1)))


class Block(nn.Module):
    """norm-ReLU-conv-norm-ReLU-conv with a parameter-free shortcut."""

    def __init__(self, channels, width, stride, norm):
        super().__init__()
        self.stride, self.added = stride, width - channels
        self.norm1, self.conv1 = norm(channels), Convolution(channels, width, stride)
        self.norm2, self.conv2 = norm(width), Convolution(width, width)

    def forward(self, x):
        main = self.conv1(F.relu(self.norm1(x)))
        main = self.conv2(F.relu(self.norm2(main)))
        if self.stride > 1:
            before = self.added // 2
            x = F.pad(F.avg_pool2d(x, self.stride), (0, 0, 0, 0, before, self.added - before))
        return main + x


class ResNet(nn.Module):
    """Pre-activation ResNet of depth 6 blocks + 2 for 32x32 images, widths 16, 32, 64."""

    def __init__(self, depth, norm):
        super().__init__()
        blocks, channels = [], 16
        for stage, width in enumerate((16, 32, 64)):
            for block in range((depth - 2) // 6):
                blocks.append(Block(channels, width, 2 if stage > 0 and block == 0 else 1, norm))
                channels = width
        self.stem, self.blocks = Convolution(3, 16), nn.Sequential(*blocks)
        self.norm, self.fc = norm(64), nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.blocks(self.stem(x))))
        return self.fc(x.mean((2, 3)))


MODELS = {
    "mnist_lenet": (mnist_lenet, (1, 28, 28)),
    "caffe_lenet": (caffe_lenet, (1, 28, 28)),
    "resnet8": (lambda: ResNet(8, nn.BatchNorm2d), (3, 32, 32)),
    "resnet20-gn8": (lambda: ResNet(20, lambda channels: nn.GroupNorm(8, channels)), (3, 32, 32)),
    "resnet32": (lambda: ResNet(32, nn.BatchNorm2d), (3, 32, 32)),
}

# ---------------------------------------------------------------------------------------------------------------------
# Steps


def learned_weights(network, losses, learning_rate, clean):
    """max(u, 0) over its sum, by differentiating the clean loss after a virtual step on these per-example losses, whose
    graph stays."""
    parameters = dict(network.named_parameters())
    eps = torch.zeros_like(losses, requires_grad=True)
    gradients = torch.autograd.grad((eps * losses).sum(), tuple(parameters.values()), create_graph=True)
    stepped = {key: value - learning_rate * g for (key, value), g in zip(parameters.items(), gradients)}
    # The clean pass leaves the running statistics alone.
    buffers = {key: value.clone() for key, value in network.named_buffers()}
    images, labels = clean
    clean_loss = F.cross_entropy(functional_call(network, (stepped, buffers), (images,)), labels)
    (gradient,) = torch.autograd.grad(clean_loss, eps, retain_graph=True)
    weights = (-gradient).clamp(min=0)
    total = weights.sum()
    return weights / torch.where(total > 0, total, 1.0)


class Training:
    """A network on one device with batches that serve every step."""

    def __init__(self, name, device, channels_last):
        torch.manual_seed(1)
        build, image = MODELS[name]
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.device = device
        self.network = build().to(device, memory_format=layout)
        self.optimizer = torch.optim.SGD(self.network.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)

        def batch(count):
            images = torch.randn(count, *image, device=device).to(memory_format=layout)
            return images, torch.arange(count, device=device) % 10

        self.train, self.clean = batch(N), {m: batch(m) for m in CLEAN}

    def plain(self):
        images, labels = self.train
        self.optimizer.zero_grad()
        F.cross_entropy(self.network(images), labels).backward()
        self.optimizer.step()

    def l2rw(self, m):
        images, labels = self.train
        losses = F.cross_entropy(self.network(images), labels, reduction="none")
        weights = learned_weights(self.network, losses, LEARNING_RATE, self.clean[m])
        values = tuple(self.network.parameters())
        for value, g in zip(values, torch.autograd.grad((weights * losses).sum(), values)):
            value.grad = g
        self.optimizer.step()

    def seconds(self, step):
        self.synchronize()
        start = time.perf_counter()
        step()
        self.synchronize()
        return time.perf_counter() - start

    def synchronize(self):
        if self.device == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Variant:
    """How PyTorch computes."""

    name: str
    device: str
    channels_last: bool = False
    tf32: bool = False

    @contextlib.contextmanager
    def settings(self):
        before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.tf32
        torch.backends.cudnn.benchmark = True
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[:2]
            torch.backends.cudnn.benchmark = before[2]


def variants():
    found = [Variant("CPU", "cpu"), Variant("CPU, channels last", "cpu", channels_last=True)]
    if torch.cuda.is_available():
        found += [
            Variant("CUDA", "cuda"),
            Variant("CUDA, channels last", "cuda", channels_last=True),
            Variant("CUDA, TF32", "cuda", tf32=True),
            Variant("CUDA, channels last, TF32", "cuda", channels_last=True, tf32=True),
        ]
    return found


STEPS = {"plain": lambda t: t.plain()} | {f"L2RW m={m}": lambda t, m=m: t.l2rw(m) for m in CLEAN}

# ---------------------------------------------------------------------------------------------------------------------
# Our side


def ours_of(rows, model):
    """Seconds by step of `make bench`'s rows, the faster route where there are two."""
    found = {}
    for row in rows:
        if row["model"] == model and row["n"] == N:
            found["plain"] = row["plain_s"]["median"]
            key = f"L2RW m={row['m']}"
            found[key] = min(found.get(key, float("inf")), row["l2rw_s"]["median"])
    return found


def build_bench():
    """Builds our bench and returns the path of its binary."""
    command = ["cargo", "bench", "--no-run", "--bench", "iteration", "--message-format=json-render-diagnostics"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for message in map(json.loads, output.splitlines()):
        if message.get("executable") and message["target"]["name"] == "iteration":
            return message["executable"]
    sys.exit("cargo built no binary for the bench 'iteration'")


def run_bench(binary, model, folder):
    """One round of our bench."""
    out = pathlib.Path(folder) / "round.json"
    command = [binary, model, "--only", "models", "--rounds", "1", "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return ours_of(json.loads(out.read_text())["models"], model)


# ---------------------------------------------------------------------------------------------------------------------


def measure(model, rounds, binary, folder):
    """Seconds of every round by (variant name, step); ours under the name "ours"."""
    seconds = {}
    trainings = [(variant, Training(model, variant.device, variant.channels_last)) for variant in variants()]
    for round_ in range(rounds + 1):
        measured = []
        for variant, training in trainings:
            with variant.settings():
                measured += [((variant.name, name), training.seconds(lambda: step(training))) for name, step in STEPS.items()]
        if round_ == 0:  # memory is allocated, convolution algorithms are chosen
            continue
        if binary:
            measured += [(("ours", name), value) for name, value in run_bench(binary, model, folder).items()]
        for key, value in measured:
            seconds.setdefault(key, []).append(value)
        print(f"{model}: round {round_} of {rounds}", file=sys.stderr)
    return seconds


def report(model, seconds, given):
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    ours = {step: value for (name, step), value in medians.items() if name == "ours"} or given
    for variant in variants():
        plain = medians[variant.name, "plain"]
        for step in STEPS:
            values = seconds[variant.name, step]
            line = f"{model:<14} {variant.name:<26} {step:<11} {medians[variant.name, step]:>9.4f}"
            line += f"  {min(values):>8.4f}-{max(values):<8.4f}  {medians[variant.name, step] / plain:>6.2f}"
            if step in ours:
                line += f"  {ours[step]:>9.4f}  {ours[step] / medians[variant.name, step]:>11.2f}"
            print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"any of {', '.join(MODELS)}")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds; medians are printed (default: 5)")
    parser.add_argument("--bench", type=pathlib.Path, help="what `make bench` wrote, for the ratio ours / theirs")
    parser.add_argument("--run-bench", action="store_true", help="build our bench and run it in turn with PyTorch")
    options = parser.parse_args()
    unknown = [model for model in options.models if model not in MODELS]
    if unknown:
        parser.error(f"no network is called {', '.join(unknown)}; there are {', '.join(MODELS)}")
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    rows = json.loads(options.bench.read_text())["models"] if options.bench else []
    binary = build_bench() if options.run_bench else None
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, n = {N}, medians of {options.rounds} rounds")
    print(
        f"{'model':<14} {'variant':<26} {'step':<11} {'seconds':>9}  {'min-max':<17}  {'/plain':>6}"
        + (f"  {'ours':>9}  {'ours/theirs':>11}" if rows or binary else "")
    )
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models or MODELS:
            seconds = measure(model, options.rounds, binary, folder)
            report(model, seconds, ours_of(rows, model))


if __name__ == "__main__":
    main()
