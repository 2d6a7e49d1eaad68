"""The command predict-collection."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from artaffect.cli.options import AsJson, Culture, Run


class Engine(StrEnum):
    """Where the worker processes run."""

    LOCAL = "local"
    RAY = "ray"


def predict_collection(
    run: Run,
    images: Annotated[
        Path,
        typer.Option(
            "--images",
            help="A folder of images; or a table, CSV or Parquet, with the columns image or caption "
            "or both, and optionally id and language.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.")],
    culture: Culture = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="The folder of a table's images; default: the table's folder."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=0, help="Processes; 0: one per core, or a single one with a GPU."),
    ] = 0,
    engine: Annotated[
        Engine, typer.Option(help="Processes on this machine, or on a Ray cluster (RAY_ADDRESS).")
    ] = Engine.LOCAL,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an older result or other unfinished work."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Predict for a whole collection of any size: one row for each item and culture.

    Finished work is kept, so the same command continues after a kill. Items that cannot be read are
    listed beside the result with the reason; every other item is in the result exactly once.
    """
    from artaffect.prediction.collection.plan import skipped_path
    from artaffect.prediction.collection.run import predict_collection as predict_all
    from artaffect.runtime import say

    summary = predict_all(
        run,
        images,
        out,
        culture or None,
        root=root,
        workers=workers,
        engine=engine.value,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2, ensure_ascii=False))
    cultures = ", ".join(summary.cultures)
    say(f"predicted {summary.answered:,} of {summary.items:,} items for {cultures}: {out}")
    if summary.skipped:
        say(f"skipped {summary.skipped:,} items, listed with the reasons: {skipped_path(out)}")
