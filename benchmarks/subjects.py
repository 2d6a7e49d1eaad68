"""How often a caption model agrees with the emotion subjects that cataloguers gave to works, by title alone.

    python benchmarks/subjects.py TABLE [--run starter] [--map benchmarks/subjects.toml]

TABLE is CSV with the columns `title` and `emotions`, the latter with `|` between subjects. The map says which
labels each subject stands for. A work's labels are those of all its subjects, and a prediction agrees if its
most likely label is one of them. Beside it stands the majority: the one label that agrees most often.
Intervals are 95 %, by bootstrap over works (2,000 resamples, seed 0).
"""

import argparse
import csv
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np

import artaffect as aa


def read(table: Path, subjects: dict[str, set[str]]) -> tuple[list[str], list[set[str]], int]:
    """Titles and labels of the works whose subjects are mapped, and the number of all works."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    titles, labels = [], []
    for row in rows:
        names = [subjects.get(name.strip(), set()) for name in row["emotions"].split("|")]
        union = set().union(*names)
        if union and row["title"].strip():
            titles.append(row["title"])
            labels.append(union)
    return titles, labels, len(rows)


def interval(values: np.ndarray) -> str:
    """The mean of values for each work, with its interval."""
    rng = np.random.default_rng(0)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(2000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--run", default="starter")
    parser.add_argument("--map", type=Path, default=Path(__file__).with_name("subjects.toml"))
    options = parser.parse_args()
    subjects: dict[str, set[str]] = {}
    for labels, names in tomllib.loads(options.map.read_text("utf-8")).items():
        for name in names:
            subjects[name] = set(labels.split("|"))
    predictor = aa.load_predictor(options.run)
    unknown = set().union(*subjects.values()) - set(predictor.labels)
    if unknown:
        raise SystemExit(f"the model does not know {', '.join(sorted(unknown))}")
    titles, allowed, count = read(options.table, subjects)
    probabilities = predictor.predict_proba(captions=titles)
    names = np.array(list(predictor.labels))
    tops = names[probabilities.argmax(1)]
    is_allowed = np.array([[name in labels for name in names] for labels in allowed])
    agrees = np.array([top in labels for top, labels in zip(tops, allowed, strict=True)], float)
    majority = is_allowed.mean(0).argmax()
    base = is_allowed[:, majority].astype(float)
    mass = (probabilities * is_allowed).sum(1)
    print(f"{count:,} works, {len(titles):,} with a subject that is mapped")
    print(f"labels of a work: {is_allowed.sum(1).mean():.2f} on average")
    print(f"model agrees: {interval(agrees)}")
    print(f"majority ({names[majority]}): {interval(base)}")
    print(f"model - majority: {interval(agrees - base)}")
    print(f"a label drawn at random: {is_allowed.mean():.3f}")
    print(f"probability that the model gives to the labels: {interval(mass)}")
    print(
        "predicted:", ", ".join(f"{name} {n}" for name, n in Counter(tops.tolist()).most_common())
    )
    for name, column in zip(names, is_allowed.T, strict=True):
        if column.any():
            chosen = tops == name
            right = (chosen & column).sum()
            print(
                f"{name}: allowed {column.sum()}, predicted {chosen.sum()}, of these right {right}"
            )


if __name__ == "__main__":
    main()
