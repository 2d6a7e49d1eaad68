"""A coarser label set: trained on its labels, or summed from a model of the finer ones.

    python -m benchmarks.label_maps TABLE OUT

TABLE has the nine emotions. Two caption models are trained on the same rows: one on the emotions, and
one on their valence, to which a label map leads. Both are scored on the valence of the validation rows.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.features import extract_arrays
from artaffect.labels import LabelSet
from artaffect.metrics.evaluation import evaluate
from artaffect.models.checkpoint import load_model
from artaffect.prediction.evaluation import predict_proba
from artaffect.training.run import trained_run

METRICS = ("accuracy", "macro_f1", "log_loss", "calibration_error")


def by_valence(table: AnnotationTable) -> tuple[AnnotationTable, np.ndarray]:
    """The table with the valence of each label, and which valence that is: int [k]."""
    labels = LabelSet(("positive", "negative", "other"), name="valence")
    meant = [str(sentiment) for sentiment in table.labels.sentiments]
    index = table.rows.schema.get_field_index("emotion")
    field = table.rows.schema.field(index)
    label_of = dict(zip(table.labels, meant, strict=True))
    cells = pa.array([label_of[emotion] for emotion in table.strings("emotion")])
    column = cells.dictionary_encode().cast(field.type)
    rows = table.rows.set_column(index, field, column)
    return replace(table, rows=rows, labels=labels), np.array([labels.index(m) for m in meant])


def main(file: Path, out: Path) -> None:
    table = AnnotationTable.load(file)
    coarse, valence = by_valence(table)
    recipe = replace(load_recipe("compact", SeparateConfig), image=None)
    predictions = {}
    for name, labelled in (("summed from nine labels", table), ("trained on three", coarse)):
        model = load_model(trained_run(labelled, recipe, out / name.split()[0], None))
        rows = extract_arrays(labelled.of_split("val"), *model.encoders, model.cultures)
        probabilities = predict_proba(model, rows)
        if name.startswith("summed"):
            probabilities = probabilities @ np.eye(3)[valence]
        predictions[name] = probabilities
    names = list(predictions)
    artworks = rows.artwork.numpy()
    result = evaluate(
        predictions,
        rows.emotion.numpy(),
        rows.culture_names,
        artworks,
        pairs=[(names[1], names[0])],
    )
    print(f"{len(artworks):,} captions of {len(np.unique(artworks)):,} paintings")
    for name, scores in result.models.items():
        print(f"| {name} | {' | '.join(f'{scores.overall.metrics[m]:.3f}' for m in METRICS)} |")
    difference = result.comparisons[0].by_group.overall
    print(f"| difference | {' | '.join(f'{difference[m]:+.3f}' for m in METRICS)} |")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
