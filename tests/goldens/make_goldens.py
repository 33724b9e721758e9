#!/usr/bin/env python3
"""Golden values for one whole L2RW iteration (Ren et al., ICML 2018), by second-order differentiation.

The published algorithm is followed to the letter: a virtual SGD step on sum_i eps_i f_i at eps = 0, the clean loss
after it, and its gradient with respect to eps (a backward pass through a backward pass). Then one momentum-SGD step on
sum_i w_i f_i. Everything runs in float64. README.md beside this file says what is stored, and how inputs are made.

    python3 make_goldens.py                     write every <case>.safetensors beside this file
    python3 make_goldens.py --check             recompute, and compare with the committed files instead of writing
    python3 make_goldens.py --only lenet5       one case (repeatable)
"""

import argparse
import json
import math
import pathlib
import struct
import warnings
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from networks import (
    Lenet5,
    MlpLayerNormGelu,
    MnistLenet,
    Pass,
    Resnet8,
    TorchvisionResnet18,
    labels,
    uniform,
)
from safetensors import safe_open

ALPHA = 0.1  # virtual step size; u is divided by it, so no result depends on it
LEARNING_RATE, MOMENTUM = 0.1, 0.9
STATISTICS_MOMENTUM = 0.1  # running = 0.9 running + 0.1 batch
SAMPLE_ABOVE, STRIDE = 4096, 37  # larger tensors are stored as every 37th element and an L2 norm

# ---------------------------------------------------------------------------------------------------------------------
# Cases


@dataclass(frozen=True)
class Meta:
    """How Meta-Weight-Net weighs and learns. `step` is the number of the step, from 0: Adam corrects its moments."""

    by_sum: bool
    optimizer: str
    rate: float
    decay: float = 0.0
    momentum: float = 0.0
    step: int = 0
    per_class: bool = False
    hidden: int = 100


@dataclass(frozen=True)
class Case:
    """One iteration. With `clean_label_offset` set, the clean batch is the training batch with shifted labels.

    The image tags are 1 and 2, unless those bring a max-pool or a ReLU too close to its kink (`verify` says so).
    The offset is one for which no training example helps any clean one: every u_i is negative, every weight 0.
    """

    name: str
    network: object
    n: int
    m: int
    eps: float = 1e-5
    weight_decay: float = 2e-4
    decay_in_g: bool = False
    train_image_tag: int = 1
    clean_image_tag: int = 2
    clean_label_offset: int | None = None
    classes: int = 10
    meta: "Meta | None" = None  # Meta-Weight-Net instead of L2RW
    keep: int | None = None  # about how many elements of each tensor are stored, where SAMPLE_ABOVE would be too many

    def batches(self, dtype):
        """((training images NCHW, labels), (clean images NCHW, labels))"""

        def images(tag, count):
            return torch.tensor(uniform(tag, (count, *self.network.image)), dtype=dtype).permute(0, 3, 1, 2)

        train = images(self.train_image_tag, self.n), torch.tensor(labels(3, self.n, self.classes))
        if self.clean_label_offset is None:
            return train, (images(self.clean_image_tag, self.m), torch.tensor(labels(4, self.m, self.classes)))
        assert self.n == self.m
        return train, (train[0], (train[1] + self.clean_label_offset) % self.classes)


BATCHNORM, GROUPNORM = Resnet8(), Resnet8(groups=2)
CASES = [
    Case("mnist_lenet", MnistLenet(), n=7, m=5, train_image_tag=11, clean_image_tag=12),
    Case("lenet5", Lenet5(), n=6, m=4, train_image_tag=11),
    Case("mlp_layernorm_gelu", MlpLayerNormGelu(), n=7, m=5),
    Case("resnet8_batchnorm", BATCHNORM, n=9, m=6),
    Case("resnet8_batchnorm_noscale", Resnet8(scale=False), n=6, m=9, eps=1e-3),
    Case("resnet8_groupnorm", GROUPNORM, n=9, m=6, train_image_tag=11),
    Case("resnet8_groupnorm_zero", GROUPNORM, n=4, m=4, train_image_tag=13, clean_label_offset=9),
    Case("resnet8_batchnorm_zero", BATCHNORM, n=4, m=4, clean_label_offset=7),
    Case("resnet8_batchnorm_gdecay", BATCHNORM, n=9, m=6, weight_decay=0.05, decay_in_g=True),
    Case("torchvision_resnet18", TorchvisionResnet18(), n=5, m=4, train_image_tag=22, clean_image_tag=20, keep=60),
    Case("mwn_batchnorm_raw_adam", BATCHNORM, n=9, m=6, meta=Meta(False, "adam", rate=0.05, decay=1e-4, step=2)),
    Case("mwn_batchnorm_sum_nesterov", BATCHNORM, n=9, m=6,
         meta=Meta(True, "nesterov", rate=1.0, momentum=0.9)),
    Case("mwn_groupnorm_raw_nesterov", GROUPNORM, n=9, m=6, train_image_tag=11,
         meta=Meta(False, "nesterov", rate=1.0, momentum=0.9, decay=1e-3)),
    Case("mwn_groupnorm_class_sum_adam", GROUPNORM, n=9, m=6, train_image_tag=11,
         meta=Meta(True, "adam", rate=0.05, step=2, per_class=True, hidden=20)),
    Case("mwn_mnist_lenet_raw_adam", MnistLenet(), n=7, m=5, train_image_tag=11, clean_image_tag=12,
         meta=Meta(False, "adam", rate=0.05, decay=1e-4, step=2)),
]

# ---------------------------------------------------------------------------------------------------------------------
# The iteration


class Iteration:
    """All results of one L2RW iteration of a case, in the given precision."""

    def __init__(self, case, dtype=torch.float64):
        self.case, params = case, case.network.params()
        self.theta = {p.name: torch.tensor(p.initial(k), dtype=dtype, requires_grad=True) for k, p in enumerate(params)}
        velocity = {p.name: torch.tensor(p.initial_momentum(k), dtype=dtype) for k, p in enumerate(params)}
        self.decayed = [p.name for p in params if p.decayed]
        self.train, self.clean = case.batches(dtype)

        # The weights: virtual step, clean loss, gradient with respect to eps.
        eps = torch.zeros(case.n, dtype=dtype, requires_grad=True)
        self.train_pass, self.train_losses = self.losses(self.theta, self.train)
        step = self.gradient((eps * self.train_losses).sum(), self.theta, create_graph=True)
        virtual = {name: self.theta[name] - ALPHA * step[name] for name in self.theta}
        self.clean_pass, self.clean_losses = self.losses(virtual, self.clean)
        objective = self.clean_losses.mean()
        if case.decay_in_g:
            objective = objective + case.weight_decay / 2 * sum(virtual[name].square().sum() for name in self.decayed)
        self.g = self.gradient(objective, virtual, retain_graph=True)
        self.u = -torch.autograd.grad(objective, eps, retain_graph=True)[0] / ALPHA
        positive = self.u.clamp(min=0)
        total = positive.sum()
        self.w = positive / (total if total > 0 else 1)

        # The real step: momentum SGD on the weighted loss; decay on the weights of dense layers only.
        gradient = self.gradient((self.w * self.train_losses).sum(), self.theta)
        self.step(velocity, gradient)

    def step(self, velocity, gradient):
        self.updated, self.momentum = {}, {}
        for name, theta in self.theta.items():
            decay = self.case.weight_decay * theta.detach() if name in self.decayed else 0
            self.momentum[name] = MOMENTUM * velocity[name] + gradient[name] + decay
            self.updated[name] = theta.detach() - LEARNING_RATE * self.momentum[name]

        # Running statistics, from 0 and 1, see the training forward only.
        self.running = {}
        for layer, (mean, variance) in self.train_pass.batch_statistics.items():
            self.running[f"{layer}.mean"] = STATISTICS_MOMENTUM * mean
            self.running[f"{layer}.var"] = (1 - STATISTICS_MOMENTUM) + STATISTICS_MOMENTUM * variance

    def losses(self, theta, batch):
        """A recorded forward pass and the cross-entropy of every example."""
        run = Pass(theta, self.case.eps)
        return run, F.cross_entropy(self.case.network.forward(run, batch[0]), batch[1], reduction="none")

    @staticmethod
    def gradient(loss, theta, **options):
        return dict(zip(theta, torch.autograd.grad(loss, list(theta.values()), **options)))

    def u_by_jvp(self):
        """u as the forward-mode derivative of the vector of training losses along G."""
        theta = {name: value.detach() for name, value in self.theta.items()}
        return torch.func.jvp(lambda t: self.losses(t, self.train)[1], (theta,), (self.g,))[1]

    def u_by_example(self):
        """u as inner products of G with the gradient of each example in a batch of its own."""
        u = []
        for image, label in zip(*self.train):
            gradient = self.gradient(self.losses(self.theta, (image[None], label[None]))[1].sum(), self.theta)
            u.append(sum((gradient[name] * self.g[name]).sum() for name in self.theta))
        return torch.stack(u)

    def passes(self):
        return self.train_pass, self.clean_pass


class MetaIteration(Iteration):
    """One iteration of Meta-Weight-Net (Shu et al., NeurIPS 2019, equations 3 to 5), by second-order differentiation."""

    def __init__(self, case, dtype=torch.float64):
        self.case, self.meta, params = case, case.meta, case.network.params()
        self.theta = {p.name: torch.tensor(p.initial(k), dtype=dtype, requires_grad=True) for k, p in enumerate(params)}
        velocity = {p.name: torch.tensor(p.initial_momentum(k), dtype=dtype) for k, p in enumerate(params)}
        self.decayed = [p.name for p in params if p.decayed]
        self.train, self.clean = case.batches(dtype)
        nets, h = (case.classes if self.meta.per_class else 1), self.meta.hidden
        start = uniform(300, (nets, 3 * h + 1))
        start[:, 2 * h :] *= np.float32(0.3)
        self.v = torch.tensor(start, dtype=dtype, requires_grad=True)
        adam = self.meta.optimizer == "adam"
        first, second = uniform(301, (nets, 3 * h + 1)), uniform(302, (nets, 3 * h + 1))
        first = torch.tensor(first * np.float32(1e-3 if adam else 0), dtype=dtype)
        second = torch.tensor(np.abs(second) * np.float32(1e-5 if adam else 0), dtype=dtype)

        # Equation 3: the virtual step, with weights that depend on V's parameters; the loss as V's input is a constant.
        self.train_pass, self.train_losses = self.losses(self.theta, self.train)
        inputs = self.train_losses.detach()
        before = self.weights(self.v, inputs)
        step = self.gradient((before * self.train_losses).sum(), self.theta, create_graph=True)
        virtual = {name: self.theta[name] - LEARNING_RATE * step[name] for name in self.theta}
        # Equation 4: V's parameters follow the clean loss.
        self.clean_pass, self.clean_losses = self.losses(virtual, self.clean)
        objective = self.clean_losses.mean()
        self.g = self.gradient(objective, virtual, retain_graph=True)
        self.meta_gradient = torch.autograd.grad(objective, self.v, retain_graph=True)[0]
        gradient = self.meta_gradient + self.meta.decay * self.v.detach()
        if adam:
            t = self.meta.step + 1
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient.square()
            self.v_updated = self.v.detach() - self.meta.rate * (first / (1 - 0.9**t)) / (
                (second / (1 - 0.999**t)).sqrt() + 1e-8)
        else:
            first = self.meta.momentum * first + gradient
            self.v_updated = self.v.detach() - self.meta.rate * (gradient + self.meta.momentum * first)
        self.v_moments = torch.stack([first, second])
        # Equation 5: the real step, with the new weights.
        self.w = self.weights(self.v_updated, inputs)
        gradient = self.gradient((self.w * self.train_losses).sum(), self.theta)
        self.step(velocity, gradient)
        self.u = self.u_by_jvp()

    def weights(self, v, losses):
        h, net = self.meta.hidden, v[self.train[1] if self.meta.per_class else torch.zeros_like(self.train[1])]
        z = net[:, :h] * losses[:, None] + net[:, h : 2 * h]
        values = torch.sigmoid((F.relu(z) * net[:, 2 * h : 3 * h]).sum(1) + net[:, 3 * h])
        self.hidden_inputs = z.detach()
        return values / values.sum() if self.meta.by_sum else values / self.case.n

    def verify_meta(self):
        """Assert that the meta gradient is also the sum of inner products, and that nothing lies at a kink of V."""
        v = self.v.detach().clone().requires_grad_()
        weights = self.weights(v, self.train_losses.detach())
        by_products = torch.autograd.grad(-LEARNING_RATE * (self.u * weights).sum(), v)[0]
        scale = self.meta_gradient.abs().max()
        assert (by_products - self.meta_gradient).abs().max() <= 1e-9 * scale, f"{self.case.name}: inner products disagree"
        assert self.hidden_inputs.abs().min() > 1e-5, f"{self.case.name}: at a kink of V"
        moved = (self.v_updated - self.v).abs().max().item()
        return f"{self.case.name:28} |meta gradient| {scale:.2e}  V moved {moved:.2e}  w {self.w.min():.3f}..{self.w.max():.3f}"


def verify(it):
    """Assert that the case is right and well conditioned; return a line of figures about it."""
    case, scale = it.case, it.u.abs().max()
    if case.meta:
        line = it.verify_meta()
    assert (it.u_by_jvp() - it.u).abs().max() <= 1e-9 * scale, f"{case.name}: forward mode disagrees"
    if not case.network.mixes_examples:
        assert (it.u_by_example() - it.u).abs().max() <= 1e-9 * scale, f"{case.name}: per-example gradients disagree"
    if case.meta:
        assert it.w.min() > 0 and it.w.max() - it.w.min() > 1e-3 / case.n, f"{case.name}: dull weights"
    elif case.clean_label_offset is None:
        assert abs(it.w.sum() - 1) < 1e-12 and (it.u < 0).any() and (it.u > 0).sum() > 1, f"{case.name}: dull weights"
    else:
        assert (it.u < -0.1 * scale).all() and (it.w == 0).all(), f"{case.name}: weights not safely zero"

    # Nothing may hang on a rounding error: a float32 run must take every ReLU and max-pool decision alike, with room.
    # Windows whose maximum is not positive are left out: the ReLU before or after the pool lets no gradient through.
    single, flips, margin, preactivation = type(it)(case, torch.float32), 0, math.inf, math.inf
    for run64, run32 in zip(it.passes(), single.passes()):
        for a, b in zip(run64.relu_inputs, run32.relu_inputs):
            flips += ((a > 0) != (b > 0)).sum().item()
            preactivation = min(preactivation, a.abs().min().item())
        for a, b in zip(run64.pool_windows, run32.pool_windows):
            top = a.topk(2, dim=-1).values
            decisive = top[..., 0] > 0
            margin = min(margin, (top[..., 0] - top[..., 1])[decisive].min().item())
            flips += (a.argmax(-1) != b.argmax(-1))[decisive].sum().item()
    figures = f"min |pre-activation| {preactivation:.1e}  min pool margin {margin:.1e}"
    assert min(margin, preactivation) > 5e-6 and flips == 0, f"{case.name}: {figures}, {flips} flips in float32"
    error = (single.u - it.u).abs().max() / scale
    if case.meta:
        return f"{line}  {figures}"
    return (f"{case.name:26} |u| {it.u.abs().min():.2e}..{scale:.2e}  positive {(it.u > 0).sum()}/{case.n}  "
            f"{figures}  float32 u error {error:.1e}")  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Files


def contents(it):
    """(tensors, metadata) of a case's file."""
    case, metadata = it.case, {}
    vectors = {"u": it.u, "w": it.w, "train_losses": it.train_losses, "clean_losses": it.clean_losses}
    if case.meta:
        vectors |= {"meta_gradient": it.meta_gradient, "theta": it.v_updated, "moments": it.v_moments}
    tensors = {name: value.detach().contiguous().numpy().copy() for name, value in vectors.items()}
    groups = {"updated": it.updated, "momentum": it.momentum, "g": it.g, "running": it.running}
    flat = {f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()}
    for name, value in flat.items():
        value = value.detach().contiguous().numpy()
        if value.size > (case.keep or SAMPLE_ABOVE):
            # Odd, so that it meets all channels.
            stride = value.size // case.keep | 1 if case.keep else STRIDE
            metadata[f"stride/{name}"] = str(stride)
            tensors[f"norm/{name}"] = np.array(np.linalg.norm(value))
            value = value.reshape(-1)[::stride]
        tensors[name] = value.astype(np.float32)

    shifted = case.clean_label_offset is not None

    def listed(values):
        return ",".join(str(value) for value in values.tolist())

    metadata |= {
        "network": case.network.name, "n": case.n, "m": case.m, "classes": case.classes, "eps": case.eps,
        "learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "weight_decay": case.weight_decay,
        "g_decay": str(case.decay_in_g).lower(), "params": ",".join(it.theta),
        "train_image_tag": case.train_image_tag,
        "clean_image_tag": case.train_image_tag if shifted else case.clean_image_tag,
        "train_labels": listed(it.train[1]), "clean_labels": listed(it.clean[1]),
        "train_label_rule": "pcg_hash(pcg_hash(3) ^ i) % classes",
        "clean_label_rule": f"(train_label[i] + {case.clean_label_offset}) % classes" if shifted
                            else "pcg_hash(pcg_hash(4) ^ i) % classes",
        "clean_label_offset": case.clean_label_offset if shifted else "none",
        "torch": torch.__version__,
    }  # fmt: skip
    if case.meta:
        metadata |= {f"meta/{key}": str(value).lower() for key, value in vars(case.meta).items()}
    return tensors, {key: str(value) for key, value in metadata.items()}


def write(path, tensors, metadata):
    """A safetensors file with a sorted header: the safetensors package orders metadata differently on every run."""
    header, data = {"__metadata__": dict(sorted(metadata.items()))}, b""
    for name, value in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        kind = {"float64": "F64", "float32": "F32"}[value.dtype.name]
        header[name] = {"dtype": kind, "shape": value.shape, "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.astype(value.dtype.newbyteorder("<")).tobytes()
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def check(path, tensors, metadata):
    """Assert that a file holds these contents: metadata to the letter, values to the last digits of its precision."""
    with safe_open(path, "np") as file:
        stored = file.metadata()
        stored.pop("torch"), metadata.pop("torch")
        assert stored == metadata, f"{path.name}: metadata differ"
        assert set(file.keys()) == set(tensors), f"{path.name}: tensor names differ"
        for name, value in tensors.items():
            old, tolerance = file.get_tensor(name), 1e-10 if value.dtype == np.float64 else 2e-7
            assert old.dtype == value.dtype and old.shape == value.shape, f"{path.name}: {name} has another form"
            assert np.abs(old - value).max() <= tolerance * np.abs(value).max(), f"{path.name}: {name} differs"


def main():
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Write or check the golden files of one L2RW iteration.")
    parser.add_argument("--out", type=pathlib.Path, default=here, help="folder of the files (default: this one)")
    parser.add_argument("--only", action="append", choices=[case.name for case in CASES], help="this case (repeatable)")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)  # torch.func.jvp trips over torch's own deprecations
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    for case in CASES:
        if arguments.only and case.name not in arguments.only:
            continue
        iteration, path = (MetaIteration if case.meta else Iteration)(case), arguments.out / f"{case.name}.safetensors"
        print(verify(iteration))
        if not arguments.check:
            write(path, *contents(iteration))
        check(path, *contents(iteration))


if __name__ == "__main__":
    main()
