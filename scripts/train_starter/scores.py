"""Score a caption model on texts that it has not learned from.

    python scripts/train_starter/scores.py starter --artelingo annotations.csv --texts brighter.csv

Tables of ArtELingo's layout are scored on the nine labels, by language where there are several. Texts are
scored on five groups: a positive emotion, anger, disgust, fear, sadness.
"""

import argparse
from pathlib import Path

import numpy as np

import artaffect as aa
from artaffect.data.annotations import AnnotationTable
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.bootstrap import Estimate, ratio_estimates
from artaffect.metrics.evaluation import evaluate
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import read_config
from artaffect.models.hub import resolve_run
from artaffect.prediction.evaluation import evaluate_rows, predict_proba
from artaffect.prediction.priors import TrainingPriors

METRICS = ("accuracy", "macro_f1", "log_loss", "calibration_error")
GROUPS = {"joy": "positive", **{name: name for name in ("anger", "disgust", "fear", "sadness")}}
"""The groups of BRIGHTER's labels; rows with several groups, or with surprise alone, are left out."""


def caption_scores(model: EmotionModel, priors: TrainingPriors, table: AnnotationTable) -> str:
    """A Markdown table of scores with intervals over artworks, beside the prior."""
    rows = extract_arrays(table, *model.encoders, model.cultures)
    result = evaluate_rows(model, rows, priors, next(iter(table.counts("split"))))
    scores = {"starter": result["caption"], "the prior alone": result.baseline}
    lines = ["| captions | predicted by | rows | paintings | " + " | ".join(HEADINGS) + " |"]
    lines.append("| --- " * 2 + "| ---: " * (len(HEADINGS) + 2) + "|")
    for name, by_group in scores.items():
        assert by_group is not None
        groups = (
            by_group.groups() if len(by_group) > 1 else [(next(iter(by_group)), by_group.overall)]
        )
        for culture, group in groups:
            mask = np.array([culture in (None, c) for c in rows.culture_names])
            chosen = [*(f"{group.metrics[m]:.3f}" for m in METRICS)]
            chosen.append(f"{valence_accuracy(model, rows, mask):.3f}" if name == "starter" else "")
            cells = [culture or "all", name, f"{group.support:,}", f"{group.artworks:,}", *chosen]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


HEADINGS = (
    "accuracy",
    "macro-F1",
    "log-loss ↓",
    "calibration error ↓",
    "positive against negative",
)


def valence_accuracy(model: EmotionModel, rows: AnnotationArrays, mask: np.ndarray) -> Estimate:
    """How often the likelier valence is that of the label; labels with neither are left out."""
    signs = np.array(model.labels.valence)
    probabilities = predict_proba(model, rows, ("caption",), 0)
    positive = probabilities[:, signs > 0].sum(1) > probabilities[:, signs < 0].sum(1)
    truth = signs[rows.emotion.numpy()]
    mask = mask & (truth != 0)
    artwork = np.unique(rows.artwork.numpy()[mask], return_inverse=True)[1]
    correct = np.bincount(artwork, (positive == (truth > 0))[mask].astype(float))
    return ratio_estimates(correct[:, None], np.bincount(artwork)[:, None])[0]


def group_scores(model: EmotionModel, file: Path, split: str) -> str:
    """A Markdown table of macro-F1 by language, beside that of the most frequent group."""
    groups = list(dict.fromkeys(GROUPS.values()))
    table = aa.read_table(
        file,
        columns={"artwork": "id", "caption": "text", "label": "labels"},
        labels=aa.LabelSet(tuple(groups)),
        map_labels=GROUPS,
    )
    table = table.of_split(split).with_exact_labels()
    rows = extract_arrays(table, *model.encoders, ())
    probabilities = predict_proba(model, rows, ("caption",), 0)
    positive = np.array(model.labels.valence) > 0
    others = [model.labels.names.index(name) for name in groups[1:]]
    grouped = np.column_stack([probabilities[:, positive].sum(1), probabilities[:, others]])
    grouped /= grouped.sum(1, keepdims=True)
    languages, truth = rows.culture_names, rows.emotion.numpy()
    frequent = {n: np.bincount(truth[languages == n]).argmax() for n in np.unique(languages)}
    majority = np.eye(len(groups))[[frequent[name] for name in languages]]
    models = {"starter": grouped, "majority": majority * 0.999 + 0.001 / len(groups)}
    result = evaluate(models, truth, languages, rows.artwork.numpy(), pairs=())
    lines = [
        f"| texts, {split} | rows | macro-F1 | most frequent group |",
        "| --- " + "| ---: " * 3 + "|",
    ]
    for name, scores in sorted(result["starter"].by_culture.items()):
        other = result["majority"][name].macro_f1.value
        lines.append(f"| {name} | {scores.support:,} | {scores.macro_f1:.3f} | {other:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the scores as Markdown."""
    parser = argparse.ArgumentParser(
        description="Score a caption model on texts it has not learned from."
    )
    parser.add_argument("run", help="a model folder, or starter")
    parser.add_argument("--artelingo", type=Path, action="append", default=[])
    parser.add_argument("--split", default="val", help="the rows of --artelingo to score")
    parser.add_argument("--texts", type=Path, help="brighter_14_languages.csv")
    parser.add_argument(
        "--splits", nargs="*", default=["val", "test"], help="those of --texts to score"
    )
    parser.add_argument("--precision", default="float32", help="auto: bfloat16 where it is native")
    options = parser.parse_args()
    folder = resolve_run(options.run)
    model = load_model(folder)
    assert model.caption is not None
    model.caption.encoder.precision = options.precision
    priors = TrainingPriors.from_json(read_config(folder)["training_priors"])
    for file in options.artelingo:
        table = aa.read_artelingo(file, keep_unpictured=True)
        if options.split in table.counts("split"):
            table = table.of_split(options.split)
        print(caption_scores(model, priors, table), "\n")
    for split in options.splits if options.texts else ():
        print(group_scores(model, options.texts, split), "\n")


if __name__ == "__main__":
    main()
