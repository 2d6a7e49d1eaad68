"""What predictions made elsewhere add to a caption model, on artworks that neither has learned from.

    python -m benchmarks.outside TABLE PROBES OUT

PROBES is a CSV file with a column ``painting``, and columns such as ``C-RN50x16:awe`` that hold the
distribution of one source over the labels. Its artworks are divided into folds: a caption source is
trained on the table without one fold and, as with ``train --with``, weighs an outside source; the fold is
then predicted. Scores are those of all folds together, with intervals by bootstrap over artworks. An image
source is compared with them if all rows of the table have an image.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from torch import Tensor

from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.data.outside import read_outside
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.evaluation import evaluate
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import SourceOutputs
from artaffect.prediction.evaluation import predict_proba
from artaffect.training.calibration import calibrate
from artaffect.training.data import TrainingData
from artaffect.training.modalities import CaptionSource
from artaffect.training.run import trained_run
from artaffect.training.separate import add_outside, fit_fusion, out_of_fold_logits
from artaffect.training.sources import SourceContext

FOLDS = 5
METRICS = ("accuracy", "macro_f1", "log_loss", "calibration_error")


def write_sources(probes: Path, labels: Sequence[str], out: Path) -> dict[str, Path]:
    """One file of predictions for each source in the file of probes; rows must sum to 1."""
    with probes.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = dict.fromkeys(column.partition(":")[0] for column in rows[0] if ":" in column)
    files = {}
    for name in names:
        if name == "label":
            continue
        path = out / f"{name.lower()}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["artwork_id", *labels])
            for row in rows:
                values = [row[f"{name}:{label.replace(' ', '_')}"] for label in labels]
                writer.writerow([row["painting"], *values])
        files[name.lower()] = path
    return files


def with_splits(table: AnnotationTable, fold_of: dict[str, int], fold: int) -> AnnotationTable:
    """The table whose test split is one fold of the probed artworks, and whose validation is the next."""
    splits = {fold: "test", (fold + 1) % FOLDS: "val"}
    names = [
        splits.get(fold_of.get(name.rpartition("/")[2], -1), "train")
        for name in table.strings("artwork_id")
    ]
    index = table.rows.schema.get_field_index("split")
    schema = table.rows.schema.field(index)
    column = pa.array(names).dictionary_encode().cast(schema.type)
    return replace(table, rows=table.rows.set_column(index, schema, column))


def main(table_file: Path, probes: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    table = AnnotationTable.load(table_file)
    files = write_sources(probes, table.labels.names, out)
    fold_of = folds_of(table, files)
    parts: dict[str, list[np.ndarray]] = {}
    truth: list[tuple[np.ndarray, ...]] = []
    for fold in range(FOLDS):
        divided = with_splits(table, fold_of, fold)
        counts = np.bincount(divided.of_split("train").emotion_codes(), minlength=len(table.labels))
        rows, predictions = predict_fold(divided, files, out / f"fold{fold}")
        predictions["prior"] = np.tile((counts + 1) / (counts + 1).sum(), (len(rows), 1))
        for name, values in predictions.items():
            parts.setdefault(name, []).append(values)
        truth.append((rows.emotion.numpy(), rows.culture_names, rows.artwork_ids[rows.artwork]))
    labels, cultures, artworks = (np.concatenate(column) for column in zip(*truth, strict=True))
    pairs = [(f"caption + {name}", "caption") for name in files]
    pairs += [(name, "image") for name in files if "image" in parts]
    stacked = {name: np.concatenate(values) for name, values in parts.items()}
    result = evaluate(stacked, labels, cultures, artworks, pairs=pairs)
    print(f"{len(labels):,} captions of {len(np.unique(artworks)):,} paintings")
    for name, scores in result.models.items():
        print(f"| {name} | {' | '.join(f'{scores.overall.metrics[m]:.3f}' for m in METRICS)} |")
    for pair in result.comparisons:
        cells = [f"{pair.by_group.overall[m]:+.3f}" for m in METRICS]
        print(f"| {pair.first} − {pair.second} | {' | '.join(cells)} |")


def folds_of(table: AnnotationTable, files: Mapping[str, Path]) -> dict[str, int]:
    """A fold for each artwork that the table and the sources share, by its name without the style."""
    probed = {name for source in read_outside(files, table.labels) for name, _ in source.rows}
    present = {name.rpartition("/")[2] for name in table.strings("artwork_id")}
    paintings = sorted(probed & present)
    order = np.random.default_rng(0).permutation(len(paintings))
    return {paintings[i]: rank % FOLDS for rank, i in enumerate(order)}


def predict_fold(
    table: AnnotationTable, files: Mapping[str, Path], out: Path
) -> tuple[AnnotationArrays, dict[str, np.ndarray]]:
    """The test rows of one division, and what each model and source predicts for them."""
    recipe = load_recipe("compact", SeparateConfig)
    predictions: dict[str, np.ndarray] = {}
    if table.rows["image"].null_count == 0:
        model = load_model(trained_run(table, replace(recipe, caption=None), out / "image", None))
        rows = extract_arrays(table.of_split("test"), *model.encoders, model.cultures)
        predictions["image"] = predict_proba(model, rows)
    assert recipe.caption is not None
    # what `train --with` does, but the caption source is trained once for all outside sources
    sources = read_outside(files, table.labels)
    data = TrainingData.from_table(table, outside=sources).for_sources(False, True)
    context = SourceContext.from_recipe(data, recipe)
    source = CaptionSource.create(recipe.caption, context, data.train.strings("caption"))
    train, val, test = (
        data.arrays(table.of_split(split), None, source.encoder, images=False)
        for split in ("train", "val", "test")
    )
    caption = source.fit(train, val)
    unseen = out_of_fold_logits([source], train, recipe.folds, recipe.seed)
    known = {"caption": source.logits(source.model_.head, val)}
    form = replace(recipe.fusion, form="logits")
    for i, outside in enumerate(sources):
        rows = with_source(test, i)
        training = outputs_with(unseen, with_source(train, i), "train")
        validation = outputs_with(known, with_source(val, i), "val")
        combination, _, _ = fit_fusion(form, training, validation, context)
        names = (data.cultures, data.languages)
        model = EmotionModel(None, caption, None, *names, table.labels, combination)
        calibrate(model.eval(), with_source(val, i))
        predictions["caption"] = predict_proba(model, rows)
        assert rows.outside is not None
        predictions[outside.name] = rows.outside[:, 0].numpy()
        predictions[f"caption + {outside.name}"] = predict_proba(model, rows, outside=True)
        weights = ", ".join(f"{weight:.3f}" for weight in combination.weight[0].tolist())
        print(f"{out.name}: weights of caption and {outside.name}: {weights}", flush=True)
    return test, predictions


def outputs_with(logits: Mapping[str, Tensor], rows: AnnotationArrays, split: str) -> SourceOutputs:
    outputs = SourceOutputs({}, logits, rows.culture, rows.emotion, rows.partial)
    return add_outside(outputs, rows, split)


def with_source(rows: AnnotationArrays, number: int) -> AnnotationArrays:
    """The rows with one of their outside sources."""
    assert rows.outside is not None
    names = rows.outside_names[number : number + 1]
    return replace(rows, outside_names=names, outside=rows.outside[:, number : number + 1])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
