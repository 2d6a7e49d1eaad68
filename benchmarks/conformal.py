"""How often prediction sets hold the true label, and how many labels they hold, on artworks that are new.

    python benchmarks/conformal.py RUN TABLE [--split test] [--level 0.9] [--repeats 100]

Thresholds are fitted on the table's validation split, as training does, and scored on the given split.
Then the artworks of that split are divided into halves: thresholds that are fitted on one half are
scored on the other, and the other way round. Last, the division is repeated at random, and the mean
coverage of all repeats is printed, which is what conformal prediction promises. Both scores are
measured, LAC and APS, for each kind of input that the model takes and for each culture.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.conformal import LEVEL, ConformalScores, ScoreName
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.prediction.evaluation import predict_all_inputs
from artaffect.prediction.set_scores import evaluate_sets
from artaffect.training.calibration import conformal_scores

SCORES: tuple[ScoreName, ...] = ("lac", "aps")


def arrays(model: EmotionModel, table: AnnotationTable, split: str) -> AnnotationArrays:
    """The rows of a split that the model can score with every kind of input."""
    part = table.of_split(split)
    part = part if model.caption is None else part.select(part.has_caption)
    rows = extract_arrays(part, *model.encoders, model.cultures)
    return rows if model.image is None else rows.select(rows.has_image)


def halves(rows: AnnotationArrays, seed: int) -> tuple[AnnotationArrays, AnnotationArrays]:
    """The rows of two halves of the artworks."""
    artworks = np.unique(rows.artwork.numpy())
    chosen = np.random.default_rng(seed).permutation(artworks)[: len(artworks) // 2]
    first = torch.from_numpy(np.isin(rows.artwork.numpy(), chosen))
    return rows.select(first), rows.select(~first)


def show(
    what: str, conformal: ConformalScores, model: EmotionModel, rows: AnnotationArrays, level: float
) -> None:
    """Print one line for each kind of input and culture."""
    for kind, groups in evaluate_sets(
        conformal, predict_all_inputs(model, rows), rows, level
    ).items():
        for name, scores in groups.by_culture.items():
            below = " BELOW" if scores.coverage.high < level else ""
            cells = [what, conformal.score, kind, name, f"{scores.support:,} / {scores.artworks:,}"]
            cells += [f"{scores.coverage:.3f}{below}", f"{scores.size:.2f}", str(scores.basis)]
            print(f"| {' | '.join(cells)} |", flush=True)


def repeated(model: EmotionModel, rows: AnnotationArrays, level: float, repeats: int) -> None:
    """Print mean coverage and size over random halves, for both scores and each kind of input."""
    for score in SCORES:
        results: dict[str, list[tuple[float, float]]] = {}
        for seed in range(repeats):
            fitted_on, scored_on = halves(rows, seed)
            conformal = conformal_scores(model, fitted_on, score)
            for kind, probabilities in predict_all_inputs(model, scored_on).items():
                if kind in conformal.inputs:
                    names = scored_on.culture_names
                    members = conformal.members(kind, probabilities, names, level)
                    held = members[np.arange(len(members)), scored_on.emotion.numpy()]
                    results.setdefault(kind, []).append((held.mean(), members.sum(1).mean()))
        for kind, values in results.items():
            coverage, size = np.mean(values, 0)
            spread = np.std(values, 0)[0]
            print(f"| {score} | {kind} | {coverage:.3f} ± {spread:.3f} | {size:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--level", type=float, default=LEVEL)
    parser.add_argument("--repeats", type=int, default=100)
    options = parser.parse_args()
    model, table = load_model(options.run), AnnotationTable.load(options.table)
    rows = arrays(model, table, options.split)
    print(
        "| fitted on | score | input | culture | rows / artworks | coverage | labels in a set | threshold |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    first, second = halves(rows, 0)
    for score in SCORES:
        if options.split != "val":
            fitted = conformal_scores(model, arrays(model, table, "val"), score)
            show("validation", fitted, model, rows, options.level)
        show("first half", conformal_scores(model, first, score), model, second, options.level)
        show("second half", conformal_scores(model, second, score), model, first, options.level)
    print(f"\n{options.repeats} random halves, mean and standard deviation:\n")
    print("| score | input | coverage | labels in a set |\n| --- | --- | --- | --- |")
    repeated(model, rows, options.level, options.repeats)


if __name__ == "__main__":
    main()
