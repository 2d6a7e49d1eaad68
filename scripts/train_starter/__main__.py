"""Make the starter, the model that comes with artaffect, from openly licensed texts with emotions.

    python scripts/train_starter --data FOLDER --out src/artaffect/starter

FOLDER holds ``goemotions_en.csv`` (GoEmotions, Demszky et al. 2020), ``brighter_track_a.csv`` and
``brighter_14_languages.csv`` (BRIGHTER, Muhammad et al. 2025), both CC BY 4.0. Rows of the split ``train``
teach, rows of the split ``dev`` choose the epoch and the temperature.
"""

import argparse
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jinja2 import Environment, StrictUndefined

import artaffect as aa
from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.baseline import PriorBaseline
from artaffect.models.checkpoint import load_model, save_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import CARD, CHECKSUMS, SCORES, read_config, write_checksums
from artaffect.outputs import atomic_folder
from artaffect.prediction.evaluation import TrainingPriors, evaluate_rows, predict_proba
from artaffect.reports.evaluation import save_metrics

HERE = Path(__file__).parent
FILES = {
    "goemotions_en.csv": "goemotions.toml",
    "brighter_track_a.csv": "brighter.toml",
    "brighter_14_languages.csv": "brighter.toml",
}
"""The sources, each with its map of labels."""
LANGUAGES = {
    "arabic-algerian": "arabic (algerian)",
    "arabic-moroccan": "arabic (moroccan)",
    "darija": "arabic (moroccan)",
}
"""Two names of one language."""
FREQUENCIES = {
    "amusement": 30_888,
    "awe": 50_289,
    "contentment": 87_260,
    "excitement": 25_678,
    "anger": 4_475,
    "disgust": 14_880,
    "fear": 28_225,
    "sadness": 32_656,
    "something else": 34_372,
}
"""How often each label occurs in ArtELingo's English training split, as published."""
BALANCE = 0.8
"""A language with n rows counts as n to this power: 1 takes the rows as they are, 0 makes all equal."""
CAVEAT = (
    "the starter learned from comments and posts with emotion labels, not from art: train on captions of "
    "artworks where you have some"
)


def main() -> None:
    """Read the sources, train, shift, and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the three tables")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--recipe", default=str(HERE / "recipe.toml"))
    parser.add_argument("--set", action="append", default=[], help="change a setting of the recipe")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = load_recipe(options.recipe, SeparateConfig, options.set)
    table = balanced(read_sources(options.data), BALANCE)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        aa.train(table, run, recipe=recipe)
        write_starter(run, table, options.out)


def read_sources(data: Path) -> AnnotationTable:
    """The rows of all sources, each text once, with the labels of ArtEmis."""
    parts = [
        aa.read_table(
            data / name,
            columns={"artwork": "id", "caption": "text", "label": "labels", "annotator": None},
            labels="artemis",
            map_labels=HERE / labels,
        )
        for name, labels in FILES.items()
    ]
    rows = pa.concat_tables([with_one_name(part.rows) for part in parts]).unify_dictionaries()
    texts = rows["caption"].to_pylist()
    first = {text: row for row, text in reversed(list(enumerate(texts)))}
    sources = {"source": ", ".join(FILES), "audience": "culture"}
    table = AnnotationTable(rows.take(sorted(first.values())).unify_dictionaries(), sources)
    return table.select(np.isin(table.strings("split"), ["train", "val"]))


def with_one_name(rows: pa.Table) -> pa.Table:
    """The rows with one name for each language."""
    index = rows.schema.get_field_index("language")
    names = [LANGUAGES.get(name, name) for name in rows["language"].to_pylist()]
    column = pa.array(names, pa.string()).dictionary_encode()
    return rows.set_column(index, rows.schema.field(index), column)


def balanced(table: AnnotationTable, power: float, seed: int = 0) -> AnnotationTable:
    """The table with training rows of rare languages repeated, and of frequent ones left out.

    Their number stays about the same.
    """
    languages, splits = np.array(table.strings("language")), np.array(table.strings("split"))
    generator = np.random.default_rng(seed)
    is_training = splits == "train"
    counts = Counter(languages[is_training].tolist())
    total = sum(counts.values()) / sum(n**power for n in counts.values())
    rows = [np.flatnonzero(~is_training)]
    for language, count in sorted(counts.items()):
        own = np.flatnonzero(is_training & (languages == language))
        rows.append(np.resize(generator.permutation(own), round(total * count**power)))
    chosen = np.concatenate(rows)
    times = Counter[int]()
    ids = table.strings("annotation_id")
    names = []
    for row in chosen.tolist():  # every row needs an id of its own
        times[row] += 1
        names.append(f"{ids[row]}#{times[row]}")
    repeated = table.rows.take(chosen)
    index = repeated.schema.get_field_index("annotation_id")
    column = pa.array(names, pa.string())
    repeated = repeated.set_column(index, repeated.schema.field(index), column)
    return replace(table, rows=repeated.unify_dictionaries())


@torch.no_grad()
def shift(model: EmotionModel, rows: AnnotationArrays) -> None:
    """Take the temperature into the head, and give its predictions the published label frequencies.

    Bayes' rule for another distribution of the labels: each probability times the ratio of its label's
    frequency there to the frequency that the model predicts on average for the training rows.
    """
    assert model.caption is not None
    expected = torch.from_numpy(predict_proba(model, rows, ("caption",), 0).mean(0))
    counts = torch.tensor([float(FREQUENCIES[label]) for label in model.labels])
    head = model.caption.head
    temperature = float(model.temperature[1, 0])
    head.shared.weight /= temperature
    head.shared.bias /= temperature
    head.shared.bias += ((counts / counts.sum()).log() - expected.log()).float()
    model.temperature.fill_(1.0)


def write_starter(run: Path, table: AnnotationTable, out: Path) -> None:
    """Write the model folder of the starter from the one that training wrote."""
    trained, config = load_model(run), read_config(run)
    arrays = extract_arrays(table.of_split("train"), *trained.encoders, ())
    shift(trained, arrays)
    assert trained.caption is not None
    trained.caption.encoder.precision = "float32"
    model = EmotionModel(None, trained.caption, None, (), trained.languages, trained.labels).eval()
    frequencies = np.array([FREQUENCIES[label] for label in model.labels], float)
    baseline = PriorBaseline(len(model.labels))
    baseline.prior_, baseline.priors_ = frequencies / frequencies.sum(), {}
    priors = TrainingPriors(baseline, np.ones(len(model.labels)))
    val = extract_arrays(table.of_split("val"), *model.encoders, ())
    result = evaluate_rows(model, val, priors, "val")
    more = {
        "version": config["version"],
        "encoders": config["encoders"],
        "recipe": config["recipe"],
        "data": {"source": config["data"]["source"]},
        "caveat": CAVEAT,
        "rows": config["rows"],
        "training_priors": priors.to_json(),
        "training_log": config["training_log"],
    }
    with atomic_folder(out, CHECKSUMS, overwrite=True) as folder:
        save_model(model, folder, more, {"caption": config["encoders"]["caption"]})
        save_metrics(result, folder / SCORES)
        (folder / CARD).write_text(card(model, more), "utf-8")
        write_checksums(folder)


def card(model: EmotionModel, about: Mapping[str, Any]) -> str:
    """The model card; what was measured on captions of artworks stands in ``scores.json``."""
    maps = {name: aa_map(HERE / name) for name in ("goemotions.toml", "brighter.toml")}
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )  # noqa: S701
    template = environment.from_string((HERE / "card.md.j2").read_text("utf-8"))
    return template.render(
        languages=model.languages,
        maps=maps,
        frequencies=FREQUENCIES,
        rows=about["rows"],
        codes=["en"],
        scores="SCORES",
        version=about["version"],
    )


def aa_map(path: Path) -> dict[str, Sequence[str]]:
    """A map of labels, from a label to those that it stands for."""
    from artaffect.data.label_maps import load_label_map

    return dict(load_label_map(path))


if __name__ == "__main__":
    main()
