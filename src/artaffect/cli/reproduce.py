"""The paper's comparison from a table, or from drawn data."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import typer

from artaffect.data.annotations import AnnotationTable
from artaffect.data.readers.artelingo import read_artelingo
from artaffect.data.sample.write import write_sample
from artaffect.errors import InputError
from artaffect.report.evaluation import print_tables
from artaffect.runtime import say
from artaffect.training.reproduction import reproduce

_PAINTINGS = 240
"""Drawn for ``--quick``."""


def run_reproduction(
    data: Path | None, out: Path, quick: bool, cache: Path | None, as_json: bool
) -> None:
    """Train, print, and name the page.

    Raises:
        InputError: there are no data, and none may be drawn.
    """
    if data is not None:
        table = AnnotationTable.load(data)
    elif quick:
        table = _drawn(out / "data")
    else:
        raise InputError("reproduce needs --data TABLE; with --quick it can draw its own")
    result = reproduce(table, out, quick, cache)
    if as_json:
        typer.echo(json.dumps(asdict(result), indent=2, ensure_ascii=False))
    else:
        print_tables(result.tables())
    say(f"tables: {out / 'tables.md'}; page with the training curves: {out / 'report.html'}")


def _drawn(folder: Path) -> AnnotationTable:
    """The same images and captions each time, so that an interrupted run resumes."""
    saved = folder / "annotations.parquet"
    if not saved.is_file():
        say(f"drawing {_PAINTINGS} paintings with captions (synthetic data)")
        csv = write_sample(folder, _PAINTINGS, seed=0, overwrite=True)
        table, _ = read_artelingo(csv, folder / "wikiart")
        replace(table, provenance={**table.provenance, "synthetic": True}).save(saved)
    return AnnotationTable.load(saved)
