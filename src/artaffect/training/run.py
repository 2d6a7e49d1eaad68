"""Train a recipe and leave a model folder, whole or not at all."""

from dataclasses import asdict, replace
from pathlib import Path

from artaffect import __version__
from artaffect.config import CompactConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.evaluation.evaluator import EvaluationResult
from artaffect.evaluation.report import model_card, save_metrics, save_report
from artaffect.models.checkpoint import SUMS, save_model, seal
from artaffect.runtime import atomic_folder, check_free
from artaffect.training.recipes import train_compact


def train_run(
    table: AnnotationTable,
    config: CompactConfig,
    out: Path,
    cache: Path | None = None,
    overwrite: bool = False,
) -> EvaluationResult:
    """Train, and write the model folder ``out`` with its report.

    A run that is killed leaves no folder; started again, it finds the features it had extracted.

    Raises:
        OutputExistsError: ``out`` may not be replaced; said before the work begins.
        TableError: the table lacks what training needs.
    """
    check_free(out, SUMS, overwrite)
    trained = train_compact(table, config, cache)
    result = replace(
        trained.evaluation, protocol={**trained.evaluation.protocol, "chosen_on_this_split": True}
    )
    description = {
        "version": __version__,
        "cultures": list(trained.model.cultures),
        "fusion": trained.model.fusion.settings(),
        "recipe": asdict(config),
        "data": dict(table.provenance),
        "rows": {name: len(table.of_split(name)) for name in ("train", "val")},
        "training_habits": trained.habits.to_json(),
        "chosen": trained.chosen,
    }
    with atomic_folder(out, SUMS, overwrite) as folder:
        save_model(trained.model, folder, trained.heads, description)
        save_metrics(result, folder / "metrics.json")
        (folder / "README.md").write_text(model_card(result, description), "utf-8")
        save_report(result, folder / "report.html", f"artaffect: {out.name}")
        seal(folder)
    return result
