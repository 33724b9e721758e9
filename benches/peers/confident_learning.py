#!/usr/bin/env python3
"""Wrong labels found by `l2rw audit` beside those found by cleanlab's confident learning, on the same corrupted data.

Confident learning needs predictions for examples that a network was not trained on. They come from the same network,
trained plainly by cross-validation, and all folds together may compute as much as the audit did (counted in forward
passes). The trusted examples, which the audit does not train on, are part of every fold's training set.

    pip install cleanlab scikit-learn
    python3 benches/peers/confident_learning.py --data DIR --flip asymmetric:0.2 --clean-per-class 10 --out out/peer [-- OPTIONS]

What follows `--` goes to both runs of the example, e.g. `-- --examples-per-class 1500 --steps 600`.
"""

import argparse
import csv
import json
import pathlib
import subprocess

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score, roc_auc_score

FOLDS = 5


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--flip", required=True)
    parser.add_argument("--clean-per-class", default="10")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/peer"))
    parser.add_argument("--binary", default="target/release/l2rw")
    parser.add_argument("--reuse", action="store_true", help="compare what earlier runs left in --out")
    parser.add_argument("rest", nargs="*")
    return parser.parse_args()


def run(arguments, out, *more):
    command = [arguments.binary, "audit", "--data", arguments.data, "--flip", arguments.flip]
    command += ["--clean-per-class", arguments.clean_per_class, "--out", str(out)]
    subprocess.run([*command, *arguments.rest, *more], check=True)


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def main():
    arguments = parse()
    # An audit's folder takes no other run.
    folds = arguments.out.with_name(arguments.out.name + "-folds")
    if not arguments.reuse:
        run(arguments, arguments.out)
        passes = json.loads((arguments.out / "summary.json").read_text())["passes"]
        run(arguments, folds, "--out-of-sample", str(FOLDS), "--passes", str(passes))

    head, *rows = read(folds / "predictions.csv")
    names = [row[0] for row in rows]
    given = np.array([int(row[1]) for row in rows])
    wrong = np.array([row[2] == "1" for row in rows])
    probabilities = np.array([[float(value) for value in row[3:]] for row in rows])
    probabilities /= probabilities.sum(1, keepdims=True)
    accuracy = (probabilities.argmax(1) == given)[~wrong].mean()

    columns, *audit = read(arguments.out / "audit.csv")
    score = {row[0]: float(row[columns.index("score")]) for row in audit}
    audited = {row[0]: row[columns.index("wrong")] == "true" for row in audit}
    assert [audited[name] for name in names] == wrong.tolist(), "both runs corrupt the same labels"

    rankings = {"l2rw audit": np.array([score[name] for name in names])}
    for method, adjust in [("self_confidence", False), ("self_confidence", True), ("normalized_margin", False)]:
        quality = get_label_quality_scores(given, probabilities, method=method, adjust_pred_probs=adjust)
        rankings["cleanlab " + method + (", adjusted" if adjust else "")] = -quality
    issues = find_label_issues(given, probabilities)

    print(f"{len(names)} examples, {wrong.mean():.1%} wrong; {head[3:]}")
    print(f"out-of-sample accuracy on right labels {accuracy:.1%}; cleanlab calls {issues.sum()} labels issues,")
    print(f"of which {wrong[issues].mean():.1%} are wrong; that finds {issues[wrong].mean():.1%} of the wrong ones")
    print(f"{'ranking':<36} {'AUROC':>8} {'AP':>8}")
    for name, doubt in rankings.items():
        print(f"{name:<36} {roc_auc_score(wrong, doubt):>8.4f} {average_precision_score(wrong, doubt):>8.4f}")


if __name__ == "__main__":
    main()
