"""Train a recipe and leave a model folder, whole or not at all."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from artaffect import __version__
from artaffect.config import CompactConfig, DistillationConfig, JointConfig, Recipe, TunedConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.checkpoint import save_model
from artaffect.models.folder import CHECKSUMS, read_config, write_checksums
from artaffect.reports.evaluation import model_card, save_metrics, save_report
from artaffect.runtime import atomic_file, atomic_folder, check_free, is_main_process
from artaffect.training.compact import train_compact
from artaffect.training.data import TrainedModel, TrainingData, digest_of
from artaffect.training.distillation import train_distillation
from artaffect.training.joint import train_joint
from artaffect.training.tuned import train_tuned

_logger = logging.getLogger(__name__)

TRAINERS: Mapping[type[Recipe], Callable[[TrainingData, Any], TrainedModel]] = {
    CompactConfig: train_compact,
    TunedConfig: train_tuned,
    DistillationConfig: train_distillation,
    JointConfig: train_joint,
}


def train_run(
    table: AnnotationTable,
    config: Recipe,
    out: Path,
    cache: Path | None = None,
    overwrite: bool = False,
) -> EvaluationResult:
    """Train, and write the model folder ``out`` with its report.

    A run that is killed leaves no folder. Started again with the same settings and table, it finds
    the features it had extracted, and goes on from the checkpoints in ``<out>.training``.

    Raises:
        OutputExistsError: ``out`` may not be replaced; said before the work begins.
        TableError: the table lacks what training needs.
        ConfigError: ``<out>.training`` belongs to other settings or another table.
    """
    check_free(out, CHECKSUMS, overwrite)
    work = out.with_name(f"{out.name}.training")
    _claim(work, recipe_of(config), digest_of(table))
    try:
        trained = TRAINERS[type(config)](TrainingData.of(table, cache, work), config)
    finally:
        if not _has_checkpoint(work):  # a start that failed is no training under way
            shutil.rmtree(work, ignore_errors=True)
    result = replace(
        trained.evaluation, protocol={**trained.evaluation.protocol, "chosen_on_this_split": True}
    )
    if not is_main_process():
        return result
    model = trained.model
    description = {
        "version": __version__,
        "cultures": list(model.cultures),
        "fusion": model.fusion and model.fusion.settings(),
        "encoders": _encoder_names(config),
        "recipe": recipe_of(config),
        "data": dict(table.provenance),
        "rows": {name: len(table.of_split(name)) for name in ("train", "val")},
        "training_priors": trained.priors.to_json(),
        "chosen": trained.chosen,
    }
    with atomic_folder(out, CHECKSUMS, overwrite) as folder:
        save_model(model, folder, description)
        save_metrics(result, folder / "metrics.json")
        (folder / "README.md").write_text(model_card(result, description), "utf-8")
        save_report(result, folder / "report.html", f"artaffect: {out.name}")
        write_checksums(folder)
    shutil.rmtree(work, ignore_errors=True)
    return result


def trained_run(table: AnnotationTable, config: Recipe, out: Path, cache: Path | None) -> Path:
    """Train unless ``out`` holds a finished run of the same settings; the way to compare several.

    Raises:
        ConfigError: ``out`` holds a run of other settings.
        TableError: the table lacks what training needs.
    """
    if (out / CHECKSUMS).is_file():
        if read_config(out)["recipe"] != json.loads(json.dumps(recipe_of(config))):
            raise ConfigError(f"{out} was trained with other settings: choose another --out")
        _logger.info(f"{out.name}: already trained")
    else:
        _logger.info(f"{out.name}: training")
        train_run(table, config, out, cache)
    return out


def recipe_of(config: Recipe) -> dict[str, Any]:
    """All settings of a recipe, as a model folder keeps them."""
    return {"kind": config.kind, **asdict(config)}


def _claim(work: Path, settings: Mapping[str, Any], data: str) -> None:
    """Note whose checkpoints these are, or refuse those of another training."""
    path = work / "recipe.json"
    mine = json.loads(json.dumps({"settings": settings, "data": data}))
    if path.is_file() and _has_checkpoint(work):
        found = json.loads(path.read_text("utf-8"))
        if found["data"] != data:
            raise ConfigError(f"{work} belongs to a training on another table: {_REMEDY}")
        changed = [
            f"{key} was {old!r}, is {new!r}"
            for key, (old, new) in _differences(found["settings"], mine["settings"]).items()
        ]
        if changed:
            raise ConfigError(f"{work} belongs to another training ({changed[0]}): {_REMEDY}")
    elif is_main_process():
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(mine, indent=2), "utf-8")


def _has_checkpoint(work: Path) -> bool:
    return any(work.glob("*/checkpoint.pt"))


_REMEDY = "delete it to begin anew, or choose another --out"


def _differences(old: Any, new: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return {} if old == new else {prefix.rstrip("."): (old, new)}
    found: dict[str, tuple[Any, Any]] = {}
    for key in [*old, *(key for key in new if key not in old)]:
        found |= _differences(old.get(key), new.get(key), f"{prefix}{key}.")
    return found


def _encoder_names(config: Recipe) -> dict[str, str]:
    """What the model was made of, for its card."""
    if isinstance(config, DistillationConfig):
        student, teacher = config.student.encoder, config.teacher.encoder
        return {"caption": teacher if student == "teacher" else student}
    branches = {name: getattr(config, name) for name in ("image", "caption")}
    return {name: branch.encoder for name, branch in branches.items() if branch is not None}
