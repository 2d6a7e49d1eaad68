"""Train a recipe and write a model folder, completely or not at all."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accelerate import PartialState

from artaffect import __version__
from artaffect.config import (
    STORED_FEATURES,
    DistillationConfig,
    JointConfig,
    Recipe,
    SeparateConfig,
    SourceConfig,
    load_recipe,
)
from artaffect.data.annotations import AnnotationTable
from artaffect.data.outside import OutsideFiles, OutsidePredictions, read_outside
from artaffect.data.stored_features import StoredVectors, read_vectors
from artaffect.errors import ConfigError, TableError
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.checkpoint import save_model
from artaffect.models.folder import CARD, CHECKSUMS, read_config, write_checksums, write_histories
from artaffect.models.hub import resolve_run
from artaffect.models.machine import machine_errors
from artaffect.models.references import need_of, reference_name
from artaffect.outputs import (
    atomic_file,
    atomic_folder,
    check_free,
    discard_folder,
    output_lock,
)
from artaffect.reports.evaluation import save_metrics, save_report
from artaffect.reports.model_card import model_card
from artaffect.runtime import is_main_process
from artaffect.training.calibration import TrainedModel
from artaffect.training.data import TrainingData, table_digest
from artaffect.training.distillation import train_distillation
from artaffect.training.joint import train_joint
from artaffect.training.recipes import differences, recipe_of
from artaffect.training.separate import train_separate
from artaffect.training.trackers import Tracking, check_trackers, track_run

_logger = logging.getLogger(__name__)

TRAINERS: Mapping[type[Recipe], Callable[[TrainingData, Any], TrainedModel]] = {
    SeparateConfig: train_separate,
    DistillationConfig: train_distillation,
    JointConfig: train_joint,
}

_SPLITS = ("train", "val")
PAGE = "report.html"

CULTURE_MODELS: Mapping[str, Sequence[str]] = {
    "blind": ("culture=off", "fusion.per_culture=off"),
    "embedding": ("culture=embedding", "fusion.per_culture=off"),
    "head": ("culture=head", "fusion.per_culture=off"),
    "weights": ("culture=off", "fusion.per_culture=on"),
}
"""Four ways to use the culture, trained alike: not at all (the others are compared with it), as an
embedding, as a head, or as fusion weights for each culture."""

REMEDY = "delete it to start again, or choose another --out"
"""What to do about a folder that belongs to another training."""


def train_run(
    table: AnnotationTable,
    config: Recipe,
    out: Path,
    cache: Path | None = None,
    overwrite: bool = False,
    outside: OutsideFiles | None = None,
    trackers: str | Sequence[str] | None = None,
) -> EvaluationResult:
    """Train, and write the model folder ``out`` with its report.

    A run that is killed leaves no folder. Started again with the same settings and table, it uses
    the features extracted before, and resumes from the checkpoints in ``<out>.training``.

    Args:
        outside: files of predictions that were made elsewhere, further sources of the combination.
        trackers: names of ``trackers.TRACKERS`` that record the run.

    Raises:
        OutputExistsError: ``out`` may not be replaced; raised before the work begins.
        OutputError: ``out`` cannot be written, or another process is training it.
        TableError: the table lacks what training needs.
        ConfigError: ``<out>.training`` belongs to other settings or another table, or is something else.
    """
    if outside and not isinstance(config, SeparateConfig):
        raise ConfigError(
            f"outside sources need a recipe of the kind 'separate', and this one is of {config.kind!r}"
        )
    trackers = check_trackers(trackers)
    sources = read_outside(outside, table.labels)
    if not is_main_process():
        return _train_run(table, config, out, cache, overwrite, sources, Tracking())
    with output_lock(out):
        files = [*table.sources, *(source.file for source in sources)]
        inputs = [*map(str, files), *_folders_of(config)]
        check_free(out, CHECKSUMS, overwrite, inputs)
        with track_run(trackers, out, recipe_of(config)) as tracking:
            return _train_run(table, config, out, cache, overwrite, sources, tracking)


def _train_run(
    table: AnnotationTable,
    config: Recipe,
    out: Path,
    cache: Path | None,
    overwrite: bool,
    outside: Sequence[OutsidePredictions],
    tracking: Tracking,
) -> EvaluationResult:
    synthetic = is_synthetic(table, config)
    _references(config)  # raises before the work begins
    work = out.with_name(f"{out.name}.training")
    vectors = _stored_vectors(config)
    rows = table if vectors is None else vectors.as_images(table)
    data = replace(TrainingData.from_table(rows, cache, work, outside), tracking=tracking)
    digests = digests_of(table, outside)
    digests += [] if vectors is None else [vectors.sha256]
    _claim(work, recipe_of(config), "|".join(digests))
    try:
        with machine_errors(lambda: "this training", "use narrower layers or a smaller encoder"):
            trained = TRAINERS[type(config)](data, config)
    finally:
        if is_main_process() and not _has_checkpoint(work):  # nothing to resume from
            discard_folder(work)
    protocol = {**trained.evaluation.protocol, "chosen_on_this_split": True}
    if synthetic:
        protocol["synthetic"] = True
    if table.audience != "culture":
        protocol["audience"] = table.audience
    left_out = {kind: len(lines) for kind, lines in data.left_out.items()}
    if left_out:
        protocol["left_out"] = left_out
    trained = replace(trained, evaluation=replace(trained.evaluation, protocol=protocol))
    if is_main_process():
        origin = {**table.provenance, "digest": digests[0]}
        if outside:
            origin["outside"] = {s.name: {"file": str(s.file), "sha256": s.sha256} for s in outside}
        counts = {name: int(len(table.of_split(name).codes("artwork_id")[0])) for name in _SPLITS}
        origin["artworks"] = counts
        more = {"data": origin, "synthetic": synthetic, "left_out": left_out}
        _save(trained, table, config, out, overwrite, more)
        tracking.finish(trained.histories, trained.evaluation, out / PAGE)
        discard_folder(work)
    PartialState().wait_for_everyone()  # every process may open the folder afterwards
    return trained.evaluation


def digests_of(table: AnnotationTable, outside: Sequence[OutsidePredictions]) -> list[str]:
    """Digests of what a training learns from: of the table, then of each outside source."""
    return [table_digest(table), *(f"{source.name}:{source.sha256}" for source in outside)]


def features_file(config: Recipe) -> Path | None:
    """The file of features that were made elsewhere, if the recipe reads one."""
    encoder = config.image.encoder if isinstance(config, SeparateConfig) and config.image else ""
    if not encoder.startswith(STORED_FEATURES):
        return None
    return Path(encoder.removeprefix(STORED_FEATURES))


def _stored_vectors(config: Recipe) -> StoredVectors | None:
    """The features in that file."""
    file = features_file(config)
    return None if file is None else read_vectors(file)


def is_synthetic(table: AnnotationTable, config: Recipe) -> bool:
    """Whether a model learns from synthetic data: from the table, or through a run that it uses."""
    sources = (getattr(config, f.name) for f in fields(config))
    runs = [s.run for s in sources if isinstance(s, SourceConfig) and s.run]
    runs += [config.initial] if isinstance(config, SeparateConfig) and config.initial else []
    return bool(table.provenance.get("synthetic")) or any(
        read_config(resolve_run(run))["synthetic"] for run in runs
    )


def _folders_of(config: Recipe) -> Iterator[str]:
    """The folders of encoders and runs, and the files of features, that a recipe reads."""
    if isinstance(config, SeparateConfig) and os.path.exists(config.initial):
        yield config.initial
    for field in fields(config):
        source = getattr(config, field.name)
        if isinstance(source, SourceConfig):
            yield from filter(
                os.path.exists, (source.run, source.encoder.removeprefix(STORED_FEATURES))
            )


def _save(
    trained: TrainedModel,
    table: AnnotationTable,
    config: Recipe,
    out: Path,
    overwrite: bool,
    more: Mapping[str, Any],
) -> None:
    model, result = trained.model, trained.evaluation
    description = {
        "version": __version__,
        "trained": datetime.now(UTC).isoformat(timespec="seconds"),
        "cultures": list(model.cultures),
        "languages": list(model.languages),
        "fusion": model.fusion and model.fusion.settings(),
        "encoders": _encoder_names(config),
        "recipe": recipe_of(config),
        **more,
        "rows": {name: len(table.of_split(name)) for name in _SPLITS},
        "training_priors": trained.priors.to_json(),
        "training_log": trained.log,
    }
    references = _references(config)
    needs = [need_of(*reference) for reference in references.items()]
    with atomic_folder(out, CHECKSUMS, overwrite) as folder:
        save_model(model, folder, description, references)
        if trained.familiarity is not None:
            trained.familiarity.save(folder)
        save_metrics(result, folder / "metrics.json")
        write_histories(trained.histories, folder)
        card = model_card(result, description, needs, _initial_card(config))
        (folder / CARD).write_text(card, "utf-8")
        title = f"artaffect: {out.name}"
        page = folder / PAGE
        save_report(result, page, title, trained.histories, description, table.labels)
        write_checksums(folder)


def trained_run(
    table: AnnotationTable,
    config: Recipe,
    out: Path,
    cache: Path | None,
    outside: OutsideFiles | None = None,
    trackers: str | Sequence[str] | None = None,
) -> Path:
    """Train unless ``out`` holds a finished run with the same settings; for comparisons of several.

    Raises:
        ConfigError: ``out`` holds a run with other settings.
        TableError: the table lacks what training needs.
    """
    if (out / CHECKSUMS).is_file():
        if read_config(out)["recipe"] != recipe_of(config):
            raise ConfigError(f"{out} was trained with other settings: choose another --out")
        _logger.info(f"{out.name}: already trained")
    else:
        _logger.info(f"{out.name}: training")
        train_run(table, config, out, cache, outside=outside, trackers=trackers)
    return out


def train_culture_models(
    table: AnnotationTable,
    recipe: str,
    overrides: Sequence[str],
    out: Path,
    cache: Path | None = None,
) -> list[Path]:
    """Train a recipe in every way of ``CULTURE_MODELS``; finished runs in ``out`` are kept.

    Returns:
        The model folders, in the order of ``CULTURE_MODELS``.

    Raises:
        TableError: the training split has only one culture, or lacks what training needs.
        ConfigError: ``out`` holds runs with other settings.
    """
    cultures = table.of_split("train").cultures
    if len(cultures) < 2:
        raise TableError(
            f"the training split has only one culture, {cultures[0]}: there is nothing to compare"
        )
    folders = []
    for name, settings in CULTURE_MODELS.items():
        # with logits combined, image and caption alone are predicted by their own heads in all four
        changes = ["fusion.form=logits", *overrides, *settings]
        config = load_recipe(recipe, Recipe, changes)
        folders.append(trained_run(table, config, out / name, cache))
    return folders


def _claim(work: Path, settings: Mapping[str, Any], data: str) -> None:
    """Record which training these checkpoints belong to, or refuse those of another."""
    path = work / "recipe.json"
    if work.exists() and not path.is_file() and (not work.is_dir() or any(work.glob("[!.]*"))):
        raise ConfigError(
            f"{work}, where checkpoints would be kept, is something else: choose another --out"
        )
    if path.is_file() and _has_checkpoint(work):
        try:
            previous = json.loads(path.read_text("utf-8"))
            settings_before, data_before = previous["settings"], previous["data"]
        except (ValueError, LookupError, TypeError):
            raise ConfigError(f"{path} is damaged: delete {work} to start again") from None
        if data_before != data:
            raise ConfigError(f"{work} belongs to a training on another table: {REMEDY}")
        if change := next(differences(settings_before, settings), None):
            raise ConfigError(f"{work} belongs to another training ({change}): {REMEDY}")
    elif is_main_process():
        with atomic_file(path) as temporary:
            temporary.write_text(
                json.dumps({"settings": settings, "data": data}, indent=2), "utf-8"
            )


def _has_checkpoint(work: Path) -> bool:
    return any(work.glob("*/checkpoint.pt"))


def _references(config: Recipe) -> dict[str, str]:
    """The sources whose encoders the folder will refer to, each with the name of its encoder.

    Raises:
        ConfigError: an encoder cannot be referred to.
    """
    if config.save != "thin":
        return {}
    initial = _initial_config(config)
    if initial and (own := sorted(set(initial["encoders"]) - set(initial["references"]))):
        raise ConfigError(
            f"save = 'thin' cannot refer to the {own[0]} encoder of the initial model, which its folder "
            "holds itself: leave save out"
        )
    return {name: reference_name(name, encoder) for name, encoder in _encoder_names(config).items()}


def _encoder_names(config: Recipe) -> dict[str, str]:
    if isinstance(config, DistillationConfig):
        student, teacher = config.student.encoder, config.teacher.encoder
        return {"caption": teacher if student == "teacher" else student}
    sources = {name: getattr(config, name) for name in ("image", "caption")}
    names = {name: source.encoder for name, source in sources.items() if source}
    initial = _initial_config(config)
    begun = initial["encoders"] if initial else {}
    return {name: begun.get(name, encoder) for name, encoder in names.items()}


def _initial_folder(config: Recipe) -> Path | None:
    """The folder of the model that a recipe begins with, if it names one."""
    if not (isinstance(config, SeparateConfig) and config.initial):
        return None
    return resolve_run(config.initial)


def _initial_config(config: Recipe) -> dict[str, Any] | None:
    """The configuration of that model."""
    folder = _initial_folder(config)
    return None if folder is None else read_config(folder)


def _initial_card(config: Recipe) -> str:
    """The card of that model; empty if there is none."""
    folder = _initial_folder(config)
    path = None if folder is None else folder / CARD
    return path.read_text("utf-8") if path is not None and path.is_file() else ""
