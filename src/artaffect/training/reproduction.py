"""The whole comparison of the MVIP 2024 paper: three image models, the text model, and both combined."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch

from artaffect.config import Recipe, SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.data.readers.artelingo import read_artelingo
from artaffect.data.sample.write import write_sample
from artaffect.features import extract_arrays
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.checkpoint import load_model
from artaffect.models.folder import CHECKSUMS, read_config, read_histories, read_scores
from artaffect.models.vgg import Vgg16
from artaffect.prediction.evaluation import evaluate_predictions, hamming, predict_all_inputs
from artaffect.prediction.priors import TrainingPriors
from artaffect.reports.figures import training_curves
from artaffect.reports.pages import render, write
from artaffect.reports.tables import TextTable, evaluation_tables, label
from artaffect.runtime import to_json_text
from artaffect.training.plan import Plan, plan_recipes
from artaffect.training.recipes import overrides_from
from artaffect.training.run import trained_run


@dataclass(frozen=True)
class PaperScores:
    """The Hamming accuracy of one image model, beside the constant baseline's and the paper's."""

    train: float
    train_constant: float
    train_artworks: int
    val: float
    val_constant: float
    val_artworks: int
    paper_train: float
    paper_val: float


_SETUP = tomllib.loads((files(__package__) / "reproduction.toml").read_text("utf-8"))

IMAGE_MODELS: Mapping[str, tuple[str, float, float]] = _SETUP["image_models"]
"""Recipe → the paper's name, and what it reports on train and validation."""


@dataclass(frozen=True)
class Reproduction:
    """The result of :func:`reproduce`."""

    hamming: Mapping[str, PaperScores]
    """By the paper's name of the image model."""
    evaluation: EvaluationResult
    training_log: Mapping[str, Sequence[Mapping[str, Any]]]
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    """What a quick reproduction trains in place of a model, by the name of the model in the tables."""

    @property
    def no_better(self) -> list[str]:
        """A sentence for each model that does not beat its baseline, by the paper's metric or by log-loss."""
        sentences = [
            f"{self._shown(name)} is no better than the constant: {s.val:.4f} of the bits on validation are "
            f"correct, of the constant's {s.val_constant:.4f}"
            for name, s in self.hamming.items()
            if s.val <= s.val_constant
        ]
        baseline = self.evaluation["baseline"].log_loss.value
        return sentences + [
            f"{self._shown(label(name))} is no better than the baseline: "
            f"log-loss {scores.log_loss.value:.3f}, of the baseline {baseline:.3f}"
            for name, scores in self.evaluation.models.items()
            if scores.log_loss.value >= baseline
        ]

    def _shown(self, name: str) -> str:
        return self.stand_ins.get(name, name)

    def tables(self) -> list[TextTable]:
        """The paper's table first, then the scores of each culture; stand-ins are named as such."""
        return [
            replace(table, rows=[[self._shown(row[0]), *row[1:]] for row in table.rows])
            for table in self._tables()
        ]

    def _tables(self) -> list[TextTable]:
        header = ["image model", "train", "constant", "paper", "validation", "constant", "paper"]
        rows = []
        for name, s in self.hamming.items():
            values = (s.train, s.train_constant, s.paper_train, s.val, s.val_constant, s.paper_val)
            rows.append([name, *(f"{value:.4f}" for value in values)])
        title = "The paper's metric: share of correct bits of 9, did any annotator choose it?"
        return [TextTable(title, header, rows), *evaluation_tables(self.evaluation)]


def recipes(encoders: Mapping[str, Path], quick: bool) -> dict[str, Recipe]:
    """The recipe of each stage, in order; the combination without the runs that it is built on.

    Args:
        encoders: what takes the place of the image encoders of some recipes.
    """
    result = {}
    for name in (*IMAGE_MODELS, "paper-text", "paper-fusion", "compact"):
        changes = overrides_from(_SETUP["quick"].get(name) if quick else None)
        if name in encoders:
            changes.append(f"image.encoder={encoders[name]}")
        result[name] = load_recipe(name, Recipe, changes)
    return result


def plan(table: AnnotationTable | None, out: Path, quick: bool = False) -> Plan:
    """What :func:`reproduce` would take on this machine, from a few steps of each part; writes nothing.

    The combination is planned for the encoder of the first image model: which one is best is known only
    when they are trained.

    Args:
        table: None for the synthetic data of ``quick``.

    Raises:
        TableError: the table lacks a split or images.
    """
    with TemporaryDirectory() as folder:
        encoders = save_quick_encoders(Path(folder) / "encoders") if quick else {}
        if table is None:
            table = synthetic_table(Path(folder) / "data")
        stages = recipes(encoders, quick)
        first = stages[next(iter(IMAGE_MODELS))]
        stages["paper-fusion"] = _on_runs(stages["paper-fusion"], first, stages["paper-text"])
        finished = [name for name in stages if (out / "runs" / name / CHECKSUMS).is_file()]
        return plan_recipes(table, cast(Mapping[str, SeparateConfig], stages), finished)


def _on_runs(fusion: Recipe, image: Recipe, text: Recipe) -> Recipe:
    """The combination of the sources of two recipes, which are not trained again."""
    assert isinstance(fusion, SeparateConfig)
    sources: dict[str, Any] = {}
    for name, recipe in (("image", image), ("caption", text)):
        assert isinstance(recipe, SeparateConfig)
        sources[name] = replace(recipe.sources[name], run="trained before")
    return replace(fusion, **sources)


def reproduce(
    table: AnnotationTable, out: Path, quick: bool = False, cache: Path | None = None
) -> Reproduction:
    """Train and score the paper's models; finished runs in ``out`` are used as they are.

    Args:
        quick: use small encoders and few epochs, to see the whole in minutes.

    Raises:
        ConfigError: ``out`` holds runs with other settings.
        TableError: the table lacks a split or images.
    """
    encoders = save_quick_encoders(out / "encoders") if quick else {}

    stages = recipes(encoders, quick)

    def trained(name: str, **runs: Path) -> Path:
        sources = {n: replace(getattr(stages[name], n), run=str(run)) for n, run in runs.items()}
        recipe = replace(stages[name], **sources)
        return trained_run(table, recipe, out / "runs" / name, cache)

    runs = {name: trained(name) for name in IMAGE_MODELS}
    metrics = {name: read_scores(run) for name, run in runs.items()}
    best = max(metrics, key=lambda name: float(metrics[name]["extra"]["hamming"]["image"]))
    runs["paper-text"] = trained("paper-text")
    parts = {"image": runs[best], "caption": runs["paper-text"]}
    runs["paper-fusion"] = trained("paper-fusion", **parts)
    runs["compact"] = trained("compact")
    result = _score(runs, table, cache)
    if quick:
        result = replace(result, stand_ins=_SETUP["stand_ins"])
    kinds = ["metric", "protocol"] + ["quick"] * quick
    kinds += ["synthetic"] * bool(table.provenance.get("synthetic"))
    values = {**result.evaluation.protocol, "merged": IMAGE_MODELS[best][0]}
    notes = [_SETUP["notes"][kind].format(**values) for kind in kinds]
    notes += [f"{sentence}." for sentence in result.no_better]
    _save(result, out, notes, quick)
    return result


def synthetic_table(folder: Path) -> AnnotationTable:
    """The same artworks and captions each time, so that an interrupted reproduction resumes."""
    saved = folder / "annotations.parquet"
    if not saved.is_file():
        csv = write_sample(folder, 240, overwrite=True)
        read_artelingo(csv, folder / "wikiart").save(saved)
    return AnnotationTable.load(saved)


def save_quick_encoders(folder: Path) -> dict[str, Path]:
    """Write small untrained relatives of the paper's image encoders, unless they exist: recipe → folder."""
    from safetensors.torch import save_file
    from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel

    folders = {name: folder / name.removeprefix("paper-") for name in IMAGE_MODELS}
    if all((path / "preprocessor_config.json").is_file() for path in folders.values()):
        return folders
    settings = _SETUP["quick_encoders"]
    resnet, vgg, vit = folders.values()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ResNetModel(ResNetConfig(**settings["paper-resnet50"])).save_pretrained(resnet)
        ViTModel(ViTConfig(**settings["paper-vit"])).save_pretrained(vit)
        weights = {
            name.replace("fc1", "classifier.0").replace("fc2", "classifier.3"): weight
            for name, weight in Vgg16(settings["paper-vgg16"]["divisor"]).state_dict().items()
        }
    write(vgg / "config.json", json.dumps(settings["paper-vgg16"]))
    save_file(weights, vgg / "model.safetensors")
    for path in folders.values():
        preprocessing = {"size": {"height": 64, "width": 64}}
        write(path / "preprocessor_config.json", json.dumps(preprocessing))
    return folders


def _score(runs: Mapping[str, Path], table: AnnotationTable, cache: Path | None) -> Reproduction:
    """Score every model on the same validation rows, and the paper's metric on both splits."""
    predictions: dict[str, np.ndarray] = {}
    bits: dict[str, PaperScores] = {}
    log: dict[str, Any] = {}
    splits = {name: table.of_split(name) for name in ("train", "val")}
    for name, run in runs.items():
        model = load_model(run)
        priors = TrainingPriors.from_json(read_config(run)["training_priors"])
        rows = extract_arrays(splits["val"], *model.encoders, model.cultures, cache)
        rows = rows.select(rows.has_image)
        for kind, probabilities in predict_all_inputs(model, rows).items():
            if key := _key(name, kind):
                predictions[key] = probabilities
        log |= {f"{name}, {training}": epochs for training, epochs in read_histories(run).items()}
        if name in IMAGE_MODELS:
            paper_name, paper_train, paper_val = IMAGE_MODELS[name]
            scores: dict[str, Any] = {}
            for split, part in splits.items():
                arrays = extract_arrays(part, model.encoders[0], None, model.cultures, cache)
                result = hamming(model, arrays.select(arrays.has_image), priors)
                scores[split] = result["image"]
                scores[f"{split}_constant"] = result["constant_baseline"]
                scores[f"{split}_artworks"] = result["artworks"]
            bits[paper_name] = PaperScores(**scores, paper_train=paper_train, paper_val=paper_val)
    baseline = priors.baseline.predict_proba(rows.culture_names)
    pairs = [("paper_both", "paper_text"), ("compact_both", "compact_caption")]
    evaluation = evaluate_predictions(predictions, rows, baseline=baseline, pairs=pairs)
    return Reproduction(bits, evaluation, log)


def _key(recipe: str, kind: str) -> str | None:
    """A model's key in the result; None if another run has the same model."""
    if recipe in IMAGE_MODELS or recipe == "paper-text":
        return recipe.replace("-", "_")
    kinds = ("both",) if recipe == "paper-fusion" else ("image", "caption", "both")
    return f"{recipe.removesuffix('-fusion')}_{kind}" if kind in kinds else None


def _save(result: Reproduction, out: Path, notes: Sequence[str], quick: bool) -> None:
    context = {
        "title": "The MVIP 2024 comparison, reproduced",
        "paragraphs": notes,
        "tables": result.tables(),
        "figures": [],
        "curves": [training_curves(result.training_log)] if result.training_log else [],
    }
    write(out / "report.html", render("reproduction.html.j2", **context))
    write(out / "tables.md", render("reproduction.md.j2", **context))
    results = {"quick": quick, **asdict(result), "no_better": result.no_better}
    write(out / "results.json", to_json_text(results))
