#!/usr/bin/env python3
"""The protocol of finished runs of `cifar_backgroundflip`, once more in PyTorch with its double backward.

Settings come from the runs' results.json: network, batches, rates, augmentation, noise. The images are those of an image
folder, `train/<class>/*` and `test/<class>/*`; which of them are trusted or get a wrong label is drawn anew. Prints means
with 95 % intervals (Student's t) of both, and whether the difference is within Welch's interval.

    cargo run --release --example cifar_backgroundflip -- --preset quick --data DIR --runs 3 --out out/peer
    python3 benches/peers/protocol.py --data DIR --runs out/peer
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import nn

from pytorch import ResNet, learned_weights

METHODS = ("baseline", "l2rw")
MOMENTUM = 0.9

# ---------------------------------------------------------------------------------------------------------------------
# Networks, as they start in src/nn/zoo/mod.rs


def truncated_normal(weight, deviation):
    nn.init.trunc_normal_(weight, 0.0, deviation, -2 * deviation, 2 * deviation)


def lenet5():
    layers, channels = [], 3
    for filters, padding in ((6, 2), (16, 0)):
        layers += [nn.Conv2d(channels, filters, 5, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
        channels = filters
    layers += [nn.Flatten(), nn.Linear(16 * 6 * 6, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)]
    network = nn.Sequential(*layers)
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            truncated_normal(layer.weight, math.sqrt(2 / layer.weight[0].numel()))
            nn.init.zeros_(layer.bias)
    return network


def resnet8():
    network = ResNet(8, nn.BatchNorm2d)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            truncated_normal(layer.weight, math.sqrt(2 / (9 * layer.out_channels)))
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(3 / layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)
    return network


NETWORKS = {"lenet5": lenet5, "resnet8": resnet8}

# ---------------------------------------------------------------------------------------------------------------------
# Data


def read(folder, per_class):
    """Images in [-1, 1] and labels, the first of each class in alphabetical order."""
    images, labels = [], []
    for label, name in enumerate(sorted(path.name for path in folder.iterdir() if path.is_dir())):
        for file in sorted((folder / name).iterdir())[:per_class]:
            images.append(np.asarray(Image.open(file).convert("RGB")))
            labels.append(label)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels, np.array(labels)


def spoiled(images, labels, config, rng):
    """Training images with their labels and which are wrong, and trusted ones."""
    of_class = [rng.permutation(np.flatnonzero(labels == c)) for c in range(10)]
    clean = np.concatenate([places[: config["clean_per_class"]] for places in of_class])
    train = np.setdiff1d(np.arange(len(labels)), clean)
    given = labels[train].copy()
    flipped = rng.permutation(len(train))[: round(config["spoiling"]["share"] * len(train))]
    given[flipped] = config["background"]
    return (images[train], torch.from_numpy(given), given != labels[train]), (images[clean], torch.from_numpy(labels[clean]))


def augmented(images, config, rng):
    pad = config["crop_pad"]
    padded = F.pad(images, (pad,) * 4)
    size, windows = images.shape[-1], []
    for image, (x, y, mirrored) in zip(padded, rng.integers(0, (2 * pad + 1, 2 * pad + 1, 2), (len(images), 3))):
        window = image[:, y : y + size, x : x + size]
        windows.append(window.flip(-1) if mirrored and config["mirrors"] else window)
    return torch.stack(windows)


def batches(count, size, rng):
    """Places of examples for ever, each pass in an order of its own."""
    left = np.array([], dtype=int)
    while True:
        while len(left) < size:
            left = np.concatenate([left, rng.permutation(count)])
        yield left[:size]
        left = left[size:]


# ---------------------------------------------------------------------------------------------------------------------
# Training


def train(method, config, data, seed):
    """Test accuracy; with learned weights also the AUROC of the mean weight, and the share of the weight on wrong labels
    in the second half."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    (images, labels), (test_images, test_labels) = data
    (images, given, wrong), (clean_images, clean_labels) = spoiled(images, labels, config, rng)
    network = NETWORKS[config["model"]]()
    optimizer = torch.optim.SGD(network.parameters(), config["learning_rate"], MOMENTUM)
    decayed = [value for value in network.parameters() if value.dim() > 1]
    train_places, clean_places = (
        batches(len(count), size, rng) for count, size in ((given, config["batch"]), (clean_labels, config["clean_batch"]))
    )
    sums, counts, late = np.zeros(len(given)), np.zeros(len(given)), []
    for step in range(config["steps"]):
        rate = config["learning_rate"] * 0.1 ** sum(step >= drop for drop in config["drops"])
        places = next(train_places)
        losses = F.cross_entropy(network(augmented(images[places], config, rng)), given[places], reduction="none")
        weights = torch.full_like(losses, 1 / len(losses))
        if method == "l2rw":
            chosen = next(clean_places)
            clean = augmented(clean_images[chosen], config, rng), clean_labels[chosen]
            weights = learned_weights(network, losses, rate, clean).detach()
            found = weights.numpy()
            np.add.at(sums, places, found * len(found))
            np.add.at(counts, places, 1)
            if step >= config["steps"] // 2 and found.sum() > 0:
                late.append(found[wrong[places]].sum() / found.sum())
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        (weights * losses).sum().backward()
        for value in decayed:
            value.grad += config["weight_decay"] * value.detach()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        predicted = torch.cat([network(part).argmax(1) for part in test_images.split(500)]).numpy()
    result = {"test_accuracy": (predicted == test_labels).mean()}
    if method == "l2rw":
        drawn = counts > 0
        result["noise_auc"] = roc_auc_score(wrong[drawn], -sums[drawn] / counts[drawn])
        result["corrupted_weight_share"] = np.mean(late)
    return result


# ---------------------------------------------------------------------------------------------------------------------
# Comparison


def told(numbers):
    if len(numbers) < 2:
        return f"{np.mean(numbers):.4f}"
    half = stats.t.ppf(0.975, len(numbers) - 1) * np.std(numbers, ddof=1) / math.sqrt(len(numbers))
    return f"{np.mean(numbers):.4f} ± {half:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path, help="image folder that the runs were made with")
    parser.add_argument("--runs", required=True, type=pathlib.Path, help="folder with the runs")
    arguments = parser.parse_args()
    runs = [json.loads(file.read_text()) for file in sorted(arguments.runs.rglob("results.json"))]
    if not runs:
        sys.exit(f"{arguments.runs} holds no results.json")
    config = runs[0]["config"]
    if config["spoiling"]["kind"] != "background_flip" or config["model"] not in NETWORKS or config["held_out"]:
        sys.exit(f"only background flips, without held-out images, on {', '.join(NETWORKS)}")
    per_class = config["images_per_class"]
    test_per_class = config["test_images"] // 10
    data = read(arguments.data / "train", per_class), read(arguments.data / "test", test_per_class)
    agrees = True
    for method in METHODS:
        mine = [found for run in runs for found in run["methods"] if found["name"] == method]
        peer = []
        for seed in range(1, len(runs) + 1):
            peer.append(train(method, config, data, seed))
            print(f"PyTorch, {method}, seed {seed}: {peer[-1]['test_accuracy']:.4f}", file=sys.stderr)
        for key in peer[0]:
            ours, theirs = [found[key] for found in mine], [found[key] for found in peer]
            line = f"{method:9} {key:23} l2rw {told(ours):17} PyTorch {told(theirs):17}"
            if len(ours) > 1:
                p = stats.ttest_ind(ours, theirs, equal_var=False).pvalue
                agrees &= bool(p > 0.05)
                line += f" Welch p = {p:.2f}"
            print(line)
    sys.exit(not agrees)


if __name__ == "__main__":
    main()
