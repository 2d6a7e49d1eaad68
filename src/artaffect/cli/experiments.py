"""Commands about several trainings: tune, learning-curve, runs, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from artaffect import experiments
from artaffect.cli import checks, options
from artaffect.cli.show import show
from artaffect.runtime import say

OutFile = Annotated[
    Path | None, Option(help="Also write the result to this file: .csv, .md or .json.")
]


def tune(
    data: options.Data,
    out: Annotated[Path, Option(help="The folder for recipe.toml and study.db.")],
    recipe: options.RecipeName = "compact",
    trials: Annotated[int, Option(min=1, help="Trials of each source, in all.")] = 30,
    source: Annotated[
        list[str] | None,
        Option(help="image or caption; repeatable. Default: all that the recipe has a space for."),
    ] = None,
    settings: options.Settings = None,
    images: options.ImageFolder = None,
    culture_column: options.CultureColumn = None,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Search the settings of a recipe's heads on frozen encoders; write the best as a recipe.

    A recipe defines its search space in the section [search]. Settings are chosen on the validation split.
    An interrupted search resumes: run the same command again; a larger --trials adds to it.
    """
    table = checks.load_table(data, images, "train", "val", culture_column=culture_column)
    from artaffect.reports.evaluation import print_tables
    from artaffect.reports.tables import TextTable

    result = experiments.tune(
        table, out, recipe, settings, trials=trials, sources=source, cache=cache
    )
    title = "Validation log-loss of each source, with the recipe's and with the best settings"
    show(
        result,
        as_json,
        lambda result: print_tables([TextTable(title, result.header(), result.rows())]),
    )
    say(f"recipe: {result.recipe}")


def learning_curve(
    data: options.Data,
    out: Annotated[Path, Option(help="The folder for report.html, curve.json and curve.csv.")],
    recipe: options.RecipeName = "compact",
    sizes: Annotated[
        str, Option(help="Numbers of labels, separated by commas; all is the whole training split.")
    ] = "32,128,512,2048,all",
    source: options.Sources = None,
    init: options.Init = None,
    seeds: Annotated[int, Option(min=1, help="Samples of each size.")] = 3,
    split: Annotated[str, Option(help="The split to score: val or test.")] = "test",
    settings: options.Settings = None,
    images: options.ImageFolder = None,
    culture_column: options.CultureColumn = None,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Find out how many labels a recipe needs: train on samples of growing size, score on the same rows.

    With --init, each sample trains two models: from scratch, and begun with that model; for example
    `artaffect learning-curve --data T --out curve --init starter --source caption`. An interrupted curve
    resumes: run the same command again; more --sizes or --seeds add to it.
    """
    table = checks.load_table(data, images, "train", split, culture_column=culture_column)
    from artaffect.reports.evaluation import print_tables
    from artaffect.reports.learning_curve import PAGE, curve_line, curve_tables

    result = experiments.learning_curve(
        table,
        out,
        sizes.split(","),
        recipe,
        settings,
        sources=source,
        initial=init,
        seeds=seeds,
        split=split,
        cache=cache,
    )
    show(result, as_json, lambda result: print_tables(curve_tables(result)))
    say(curve_line(result))
    say(f"report: {out / PAGE}")


def runs(
    folder: Annotated[Path, Argument(metavar="DIR", help="The folder that holds the runs.")],
    sort: Annotated[
        str,
        Option(
            help="trained (newest first), a metric such as log_loss (best first), name, recipe, data, "
            "digest, seeds or sources."
        ),
    ] = "trained",
    where: Annotated[
        list[str] | None,
        Option(help="What a field must begin with, for example recipe=compact; repeatable."),
    ] = None,
    out: OutFile = None,
    as_json: options.Json = False,
) -> None:
    """List the trained runs in a folder: recipe, data, seeds, sources, validation scores, date."""
    from artaffect.reports.evaluation import print_tables
    from artaffect.reports.tables import TextTable

    result = experiments.list_runs(
        folder, sort, checks.parse_pairs("--where", where or []), out=out
    )
    noun = "run" if len(result) == 1 else "runs"
    title = f"{len(result)} {noun} in {folder}, with scores on their validation splits"
    table = TextTable(title, result.header(), result.rows())
    show(result, as_json, lambda _: print_tables([table]))


def compare(
    runs: Annotated[
        list[str],
        Argument(
            metavar="RUN RUN…", help="Model folders, folders of several seeds, or hf:OWNER/MODEL."
        ),
    ],
    data: options.Data,
    split: options.Split = "test",
    out: OutFile = None,
    features: options.Features = None,
    images: options.ImageFolder = None,
    culture_column: options.CultureColumn = None,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Compare runs with the first one: paired differences with intervals, and Holm's correction.

    All runs are scored on the same rows. Folders of several seeds count as one run, and intervals then
    hold both seeds and artworks.
    """
    for run in runs:
        checks.check_scored(run, None)
    table = checks.load_table(data, images, split, culture_column=culture_column)
    from artaffect.reports.evaluation import print_tables
    from artaffect.reports.run_comparison import comparison_line, comparison_tables

    result = experiments.compare_runs(runs, table, split, out=out, features=features, cache=cache)
    show(result, as_json, lambda result: print_tables(comparison_tables(result)))
    say(comparison_line(result))
