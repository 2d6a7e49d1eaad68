"""Search the settings of the heads on frozen encoders, on cached features.

The sources of such a recipe are trained independently of each other, so each has a study of its own: a
trial trains one head, and is chosen by its log-loss on the validation split. The test split is never read.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from artaffect.config import SeparateConfig, load_recipe, recipe_path
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError
from artaffect.features import AnnotationArrays
from artaffect.metrics.display import Displayed, Table
from artaffect.models.heads import EmotionHead
from artaffect.outputs import atomic_file, check_output_folder
from artaffect.training.data import TrainingData, table_digest
from artaffect.training.modalities import CaptionSource, ImageSource
from artaffect.training.recipes import overrides_from, recipe_of
from artaffect.training.run import REMEDY
from artaffect.training.search_space import Space, chosen, ends, read_search, suggest
from artaffect.training.sources import Source, SourceContext
from artaffect.training.trainer import Scores

if TYPE_CHECKING:
    from optuna import Study, Trial

_logger = logging.getLogger(__name__)

RECIPE, DATABASE = "recipe.toml", "study.db"
"""What a search writes: the recipe with the best settings, and every trial, which a later call resumes."""

_STARTUP = 5
"""Trials before the pruner stops any."""
_WARMUP = 2
"""Epochs before it stops a trial."""


@dataclass(frozen=True)
class SourceSearch:
    """The search of one source's head."""

    before: float
    """Validation log-loss with the recipe's own settings."""
    after: float
    """With the best settings of all trials; the recipe's own count as one of them."""
    settings: Mapping[str, Any]
    """The best settings; empty if no trial was better than the recipe."""
    trials: int
    """Finished ones, with those that were pruned."""
    pruned: int
    seconds: float
    """What this call took."""


@dataclass(frozen=True, repr=False)
class TuneResult(Displayed):
    """What a search has found; its ``recipe`` is a file that :func:`artaffect.train` takes."""

    recipe: str
    sources: Mapping[str, SourceSearch]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def header(self) -> list[str]:
        """The headings of :meth:`rows`."""
        return [
            "source",
            "log-loss before ↓",
            "after ↓",
            "trials",
            "pruned",
            "seconds",
            "best settings",
        ]

    def rows(self) -> list[list[str]]:
        """What people read of each source."""
        return [
            [source, f"{s.before:.4f}", f"{s.after:.4f}", f"{s.trials}", f"{s.pruned}"]
            + [f"{s.seconds:.0f}", " ".join(overrides_from(s.settings)) or "the recipe's own"]
            for source, s in self.sources.items()
        ]

    def _table(self) -> Table:
        return f"TuneResult: {self.recipe}", self.header(), self.rows()


def tune(
    table: AnnotationTable,
    recipe: str,
    settings: Sequence[str],
    out: Path,
    trials: int,
    sources: Sequence[str] = (),
    cache: Path | None = None,
) -> TuneResult:
    """Search the space in a recipe's section ``[search]``, and write the recipe with the best settings.

    The search uses a tree-structured Parzen estimator (Bergstra et al. 2011), and stops a trial whose
    log-loss is above the median of the others at the same epoch. Every trial is kept in
    ``<out>/study.db``: an interrupted search resumes, and a larger number of trials adds to it.

    Args:
        settings: changes to the recipe, as ``key=value``.
        trials: how many each source gets, in all.
        sources: ``image``, ``caption`` or both; all that have a space by default.

    Raises:
        ConfigError: the recipe has no such space, or fine-tunes an encoder; or ``out`` holds another search.
        TableError: the table lacks what training needs.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spaces = read_search(recipe, sources)
    config = load_recipe(recipe, SeparateConfig, settings)
    if config.initial:
        raise ConfigError(
            "heads are searched without an initial model: leave the setting initial out"
        )
    for source, space in spaces.items():
        _check(recipe, settings, config, source, space)
    check_output_folder(out, table.sources, (RECIPE, DATABASE))
    out.mkdir(parents=True, exist_ok=True)
    data = TrainingData.from_table(table, cache)
    data = data.for_sources(config.image is not None, config.caption is not None)
    owner = {"settings": recipe_of(config), "data": table_digest(table)}
    results = {}
    for source, space in spaces.items():
        study = _open_study(out / DATABASE, source, config.seed)
        known = study.user_attrs.get("owner")
        if known is not None and known != owner:
            raise ConfigError(
                f"{out / DATABASE} holds a search of other settings or data: {REMEDY}"
            )
        study.set_user_attr("owner", owner)
        search = _Search(data, recipe, settings, source, space)
        results[source] = search.run(study, trials)
    best = {key: value for result in results.values() for key, value in result.settings.items()}
    _write_recipe(out / RECIPE, recipe, settings, best)
    return TuneResult(str(out / RECIPE), results)


def _check(
    recipe: str,
    settings: Sequence[str],
    config: SeparateConfig,
    source: str,
    space: Mapping[str, Space],
) -> None:
    """Refuse a search that would fail later."""
    if source not in config.sources or not config.sources[source].frozen:
        raise ConfigError(
            f"{recipe}: only heads on frozen encoders are searched, and {source} is "
            f"{'fine-tuned' if source in config.sources else 'no source'}: "
            f"set {source}.training to 'frozen'"
        )
    for values in ends(space):
        load_recipe(recipe, SeparateConfig, [*settings, *overrides_from(_wrapped(values))])


def _wrapped(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the recipe has them: one penalty is a list of one."""
    return {
        key: [value] if key.endswith(".penalty") and not isinstance(value, list) else value
        for key, value in values.items()
    }


def _open_study(database: Path, source: str, seed: int) -> "Study":
    import optuna

    study = optuna.create_study(
        storage=f"sqlite:///{database}",
        study_name=source,
        pruner=optuna.pruners.MedianPruner(_STARTUP, _WARMUP),
        load_if_exists=True,
    )
    # a resumed search does not draw again what it drew before
    study.sampler = optuna.samplers.TPESampler(seed=(seed + len(study.trials)) % 2**32)
    return study


class _Search:
    """The trials of one source: features are extracted once."""

    def __init__(
        self,
        data: TrainingData,
        recipe: str,
        settings: Sequence[str],
        source: str,
        space: Mapping[str, Space],
    ) -> None:
        self.data, self.recipe, self.settings = data, recipe, settings
        self.source, self.space = source, space
        self.kind = _ImageTrial if source == "image" else _CaptionTrial
        config = self._config({})
        context = SourceContext.from_recipe(data, config)
        captions = data.train.strings("caption")
        self.encoder = self.kind.create(config.sources[source], context, captions).encoder
        is_image = source == "image"
        image, text = (self.encoder, None) if is_image else (None, self.encoder)
        self.train, self.val = (
            data.arrays(t, image, text, is_image) for t in (data.train, data.val)
        )

    def run(self, study: "Study", trials: int) -> SourceSearch:
        """Run the trials that are missing; those of an earlier call count."""
        import optuna

        start = time.monotonic()
        if "before" not in study.user_attrs:
            study.set_user_attr("before", self._loss({}))
        before = float(study.user_attrs["before"])
        _logger.info(f"{self.source}: validation log-loss {before:.4f} with the recipe's settings")
        states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
        done = len(study.get_trials(deepcopy=False, states=states))
        study.optimize(self._objective, n_trials=max(0, trials - done), catch=())
        finished = study.get_trials(deepcopy=False, states=states)
        complete = [trial for trial in finished if trial.state is states[0]]
        best = min(complete, key=lambda trial: float(trial.value), default=None)
        if best is not None and best.value >= before:
            best = None
        return SourceSearch(
            before=before,
            after=before if best is None else float(best.value),
            settings={} if best is None else _wrapped(chosen(best.params, self.space)),
            trials=len(finished),
            pruned=len(finished) - len(complete),
            seconds=time.monotonic() - start,
        )

    def _config(self, values: Mapping[str, Any]) -> SeparateConfig:
        overrides = [*self.settings, *overrides_from(_wrapped(values))]
        return load_recipe(self.recipe, SeparateConfig, overrides)

    def _objective(self, trial: "Trial") -> float:
        return self._loss(suggest(trial, self.space), trial)

    def _loss(self, values: Mapping[str, Any], trial: "Trial | None" = None) -> float:
        config = self._config(values)
        context = SourceContext.from_recipe(self.data, config)
        source = self.kind(config.sources[self.source], self.encoder, context)
        source.trial = trial
        source.fit(self.train, self.val)
        return source.result_.summary()["validation_log_loss"]


class _Trial(Source[Any, Any]):
    """A source that tells its study the score of each epoch, and stops where the study says so."""

    trial: "Trial | None" = None
    epochs = 0

    def scores(
        self, head: EmotionHead, features: Tensor, index: Tensor, rows: AnnotationArrays
    ) -> Scores:
        """The scores of an epoch.

        Raises:
            TrialPruned: the trial is not worth going on.
        """
        scores = super().scores(head, features, index, rows)
        # with several penalties, an epoch is not one step of the trial
        if self.trial is not None and len(self.config.penalty) == 1:
            import optuna

            self.epochs += 1
            self.trial.report(scores["log_loss"], self.epochs)
            if self.trial.should_prune():
                raise optuna.TrialPruned
        return scores


class _ImageTrial(_Trial, ImageSource):
    pass


class _CaptionTrial(_Trial, CaptionSource):
    pass


def _write_recipe(
    path: Path, recipe: str, settings: Sequence[str], best: Mapping[str, Any]
) -> None:
    """Write the recipe's own file with other settings; its comments and its search space stay."""
    import tomlkit

    document = tomlkit.parse(recipe_path(recipe).read_text("utf-8"))
    for override in [*settings, *overrides_from(best)]:
        key, _, text = override.partition("=")
        *parents, leaf = (part.strip() for part in key.split("."))
        table: Any = document
        for parent in parents:
            table = table.setdefault(parent, tomlkit.table())
        try:
            table[leaf] = tomlkit.value(text)
        except tomlkit.exceptions.ParseError:  # plain text, as on the command line
            table[leaf] = text
    with atomic_file(path) as temporary:
        temporary.write_text(tomlkit.dumps(document), "utf-8")
