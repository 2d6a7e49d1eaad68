"""The trained runs under a folder, as one table: recipe, data, seeds, sources, scores, date."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from artaffect.config import Recipe, load_recipe, recipe_names
from artaffect.errors import ArtAffectError, InputError, ModelFolderError, UnknownNameError
from artaffect.metrics.classification import METRICS
from artaffect.metrics.display import Displayed, Table, data_frame
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.folder import (
    CHECKSUMS,
    SCORES,
    SEEDS,
    read_config,
    read_json,
    read_scores,
    seed_folders,
)
from artaffect.training.recipes import overrides_from, recipe_of

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSummary:
    """One run, or the runs of several seeds in one folder."""

    name: str
    """The path of its folder below the folder that was searched."""
    recipe: str
    """The packaged recipe that has most settings in common; empty for a run without settings."""
    settings: Sequence[str]
    """The settings that differ from it, in the form of ``--set``."""
    data: str
    """The name of the table's source file."""
    digest: str
    """Of the table: equal for equal rows and labels. Empty if it was not recorded."""
    seeds: Sequence[int]
    sources: Sequence[str]
    """What it predicts from: image, caption, and sources that were made elsewhere."""
    cultures: Sequence[str]
    synthetic: bool
    trained: str
    """Date and time of the training in UTC, ISO 8601. Empty if it was not recorded."""
    scores: Mapping[str, float]
    """Metric → score from its most complete input, on the validation split; a mean over seeds."""

    @property
    def seeds_in_short(self) -> str:
        """The seeds, or from which to which."""
        first, count = min(self.seeds, default=0), len(self.seeds)
        if count > 2 and list(self.seeds) == list(range(first, first + count)):
            return f"{first} to {first + count - 1}"
        return ", ".join(map(str, self.seeds))


FIELDS: Mapping[str, Callable[[RunSummary], str]] = {
    "name": lambda run: run.name,
    "recipe": lambda run: run.recipe,
    "data": lambda run: run.data,
    "digest": lambda run: run.digest,
    "seeds": lambda run: run.seeds_in_short,
    "sources": lambda run: ", ".join(run.sources),
    "trained": lambda run: run.trained,
}
"""What a list of runs can be filtered and sorted by, besides the metrics by which it can be sorted."""


SHOWN = ("accuracy", "macro_f1", "log_loss")
"""The metrics that people see; data frames and files have all."""
COLUMNS = (*FIELDS, "settings", "cultures", "synthetic", *METRICS)


@dataclass(frozen=True, repr=False)
class RunList(Displayed):
    """The runs under a folder, sorted."""

    folder: str
    runs: Sequence[RunSummary]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[RunSummary]:
        return iter(self.runs)

    def records(self) -> list[dict[str, Any]]:
        """One mapping for each run, from column to value: the fields, the settings and every score."""
        return [
            {
                **{name: value(run) for name, value in FIELDS.items()},
                "settings": " ".join(run.settings),
                "cultures": ", ".join(run.cultures),
                "synthetic": run.synthetic,
                **{name: run.scores.get(name) for name in METRICS},
            }
            for run in self.runs
        ]

    def to_frame(self) -> Any:
        """One row for each run, as a pandas ``DataFrame``.

        Raises:
            ImportError: pandas is not installed.
        """
        return data_frame(self.records(), COLUMNS)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def _table(self) -> Table:
        return f"{len(self)} runs in {self.folder}", self.header(), self.rows()

    def header(self) -> list[str]:
        """The headings of :meth:`rows`."""
        metrics = [METRICS[name].heading for name in SHOWN]
        return ["run", "recipe", "data", "seeds", "sources", "trained", *metrics]

    def rows(self) -> list[list[str]]:
        """What people read of each run."""
        return [
            [
                run.name,
                f"{run.recipe} (+{len(run.settings)})" if run.settings else run.recipe,
                f"{Path(run.data).stem} {run.digest[:6]}".strip(),
                run.seeds_in_short,
                ", ".join(run.sources),
                run.trained[:16].replace("T", " "),
                *(f"{run.scores[m]:.3f}" if m in run.scores else "—" for m in SHOWN),
            ]
            for run in self.runs
        ]


def list_runs(
    folder: Path, sort: str = "trained", where: Mapping[str, str] | None = None
) -> RunList:
    """Find the runs under a folder; what is no run, or damaged, is logged and left out.

    Args:
        sort: one of ``FIELDS`` or a metric; the newest come first by ``trained``, the best by a metric.
        where: fields with what they must begin with, such as ``{"recipe": "compact"}``.

    Raises:
        InputError: ``folder`` is no folder, or a field is unknown.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    where = where or {}
    for name in where:
        if name not in FIELDS:
            raise InputError(str(UnknownNameError("field", name, FIELDS)))
    if sort not in (*FIELDS, *METRICS):
        raise InputError(str(UnknownNameError("field to sort by", sort, [*FIELDS, *METRICS])))
    runs = []
    for path in _run_folders(folder):
        try:
            runs.append(_summary(path, str(path.relative_to(folder))))
        except ArtAffectError as error:
            _logger.warning(f"left out: {error}")
    chosen = [
        run for run in runs if all(FIELDS[key](run).startswith(text) for key, text in where.items())
    ]
    return RunList(str(folder), _sorted(chosen, sort))


def _sorted(runs: Sequence[RunSummary], sort: str) -> list[RunSummary]:
    by_name = sorted(runs, key=lambda run: run.name)
    if sort in FIELDS:
        return sorted(by_name, key=FIELDS[sort], reverse=sort == "trained")
    sign = -1 if METRICS[sort].higher_is_better else 1
    return sorted(by_name, key=lambda run: sign * run.scores.get(sort, -sign * float("inf")))


def _run_folders(folder: Path) -> Iterator[Path]:
    """The folders of runs, without those inside of another, and without hidden ones."""
    for root, names, files in os.walk(folder):
        if CHECKSUMS in files or SEEDS in files:
            names.clear()
            yield Path(root)
        names[:] = sorted(name for name in names if not name.startswith("."))


def _summary(run: Path, name: str) -> RunSummary:
    folders = seed_folders(run)
    config = read_config(folders[0])
    scores = read_scores(run) if folders == [run] else read_json(run, SCORES)
    result = _result(run, scores)
    settings = config["recipe"]
    recipe, changes = nearest_recipe(settings) if settings else ("", [])
    seeds = [read_config(folder)["recipe"].get("seed") for folder in folders]
    sources = [kind for kind in ("image", "caption") if config[kind] is not None]
    return RunSummary(
        name=name,
        recipe=recipe,
        settings=changes,
        data=Path(str(config["data"].get("source", "unknown"))).name,
        digest=str(config["data"].get("digest", "")),
        seeds=[seed for seed in seeds if isinstance(seed, int)],
        sources=[*sources, *config["data"].get("outside", {})],
        cultures=config["cultures"],
        synthetic=config["synthetic"],
        trained=config["trained"],
        scores={
            metric: estimate.value
            for metric, estimate in result[result.detailed].overall.metrics.items()
        },
    )


def _result(run: Path, scores: Mapping[str, Any]) -> EvaluationResult:
    try:
        return EvaluationResult.from_json(scores)
    except ValueError:
        raise ModelFolderError(f"{run}: metrics.json holds no scores of an evaluation") from None


def nearest_recipe(settings: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The packaged recipe that differs in the fewest settings, and these, without the seed."""
    own = set(overrides_from({k: v for k, v in settings.items() if k != "seed"}))
    changes = {name: sorted(own - packaged) for name, packaged in _packaged().items()}
    # the default recipe where several are as near
    nearest = min(changes, key=lambda name: (len(changes[name]), name != "compact", name))
    return nearest, [change for change in changes[nearest] if not change.endswith("=null")]


@cache
def _packaged() -> dict[str, set[str]]:
    recipes = {name: recipe_of(load_recipe(name, Recipe)) for name in recipe_names()}
    return {
        name: set(overrides_from({k: v for k, v in recipe.items() if k != "seed"}))
        for name, recipe in recipes.items()
    }
