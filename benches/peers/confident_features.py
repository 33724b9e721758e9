#!/usr/bin/env python3
"""Wrong labels found by `l2rw audit` among features beside those found by cleanlab's confident learning.

Reads what an audit with --flip has left in --out. The peers are five-fold cross-validations of a logistic regression
and of MLPs with the shape of the audit's network, on the same corrupted labels and with the trusted rows among them;
of cleanlab's rankings the one with the largest AUROC counts.

    pip install cleanlab scikit-learn
    python3 benches/peers/confident_features.py --features digits.npy --labels digits_labels.npy --out out/audit
    python3 benches/peers/confident_features.py --digits .          # writes scikit-learn's digits first
"""

import argparse
import csv
import pathlib
import time

import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

RANKINGS = [("self_confidence", False), ("self_confidence", True), ("normalized_margin", False),
            ("normalized_margin", True), ("confidence_weighted_entropy", False)]
PEERS = {
    "logistic regression": LogisticRegression(max_iter=2000),
    "MLP 256-128": MLPClassifier((256, 128), max_iter=30, random_state=1),
    "MLP 256-128, early stopping": MLPClassifier((256, 128), early_stopping=True, random_state=1),
}


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def show(name, wrong, doubt, seconds=""):
    print(f"{name:<52} AUROC {roc_auc_score(wrong, doubt):.4f} AP {average_precision_score(wrong, doubt):.4f} {seconds}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=pathlib.Path)
    parser.add_argument("--labels", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/audit"))
    parser.add_argument("--digits", type=pathlib.Path, help="only writes digits.npy and digits_labels.npy there")
    arguments = parser.parse_args()
    if arguments.digits:
        digits = load_digits()
        np.save(arguments.digits / "digits.npy", digits.data.astype(np.float32))
        np.save(arguments.digits / "digits_labels.npy", digits.target)
        return
    features, labels = np.load(arguments.features), np.load(arguments.labels).astype(str)
    audit, trusted = rows(arguments.out / "audit.csv"), rows(arguments.out / "trusted.csv")
    wrong = np.array([row["wrong"] == "true" for row in audit])
    numbers = {name: number for number, name in enumerate(sorted(set(labels)))}
    given = np.array([numbers[row["given"]] for row in audit] + [numbers[row["label"]] for row in trusted])
    chosen = features[[int(row["example"]) for row in audit + trusted]]
    show("l2rw audit", wrong, np.array([float(row["score"]) for row in audit]))
    for name, peer in PEERS.items():
        begun = time.time()
        model = make_pipeline(StandardScaler(), peer)
        probabilities = cross_val_predict(model, chosen, given, cv=5, method="predict_proba")
        seconds = f"{time.time() - begun:.1f} s"
        doubts = []
        for ranking, adjust in RANKINGS:
            quality = get_label_quality_scores(given, probabilities, method=ranking, adjust_pred_probs=adjust)
            doubts.append((ranking, -quality[: len(wrong)]))
        ranking, doubt = max(doubts, key=lambda pair: roc_auc_score(wrong, pair[1]))
        show(f"{name}: {ranking}", wrong, doubt, seconds)


if __name__ == "__main__":
    main()
