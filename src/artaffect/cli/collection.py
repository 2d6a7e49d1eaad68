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
    """Who works."""

    LOCAL = "local"
    RAY = "ray"


def predict_collection(
    run: Run,
    images: Annotated[
        Path,
        typer.Option(
            "--images",
            help="A folder of pictures; or a table, CSV or Parquet, with the columns image or caption "
            "or both, and perhaps id and language.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.")],
    culture: Culture = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="What a table's images are relative to; default: its folder."),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=0, help="Processes; 0: one a processor, or a single one with a GPU."),
    ] = 0,
    engine: Annotated[
        Engine, typer.Option(help="Processes of this machine, or Ray's (RAY_ADDRESS) on several.")
    ] = Engine.LOCAL,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an older result, or other work begun there."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Predict for a whole collection, of whatever size: one row an item and culture.

    What is finished is kept, so the same command goes on after a kill. Whatever cannot be read is
    listed beside the result, with the reason; every other item is in it, once.
    """
    from artaffect.prediction.collection.plan import skipped_list
    from artaffect.prediction.collection.run import predict_collection as predict_all
    from artaffect.runtime import say

    done = predict_all(
        run,
        images,
        out,
        culture or (),
        root=root,
        workers=workers,
        engine=engine.value,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(asdict(done), indent=2, ensure_ascii=False))
    say(f"{done.answered:,} of {done.items:,} items answered for {', '.join(done.cultures)}: {out}")
    if done.skipped:
        say(f"{done.skipped:,} skipped, each with its reason: {skipped_list(out)}")
