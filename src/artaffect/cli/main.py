"""The command ``artaffect``: its groups, and the one place where errors become a line and an exit code."""

import atexit
import logging
import os
import sys
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup

import artaffect
from artaffect.cli import annotate, data, deployment, experiments, models, museum
from artaffect.errors import ArtAffectError
from artaffect.runtime import printable, say, show_any_character


class _Interrupted(Exception):
    """Ctrl+C, as an exception that typer does not answer by itself."""


class _Group(TyperGroup):
    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted from None


app = typer.Typer(
    name="artaffect",
    cls=_Group,
    help="Which emotion an artwork evokes, and in whom: from an image, a caption, or both.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Start with **artaffect demo**: data, training, report and a prediction in two minutes.",
)
app.add_typer(data.import_app, name="import", rich_help_panel="Data")
for _panel, _commands in (
    ("Data", (data.split, data.stats, data.overlap, data.sample)),
    ("Models", (models.demo, models.train, models.reproduce, models.evaluate)),
    ("Models", (models.report, models.cultures, models.predict, models.encoders, models.labels)),
    ("Experiments", (experiments.tune, experiments.learning_curve)),
    ("Experiments", (experiments.runs, experiments.compare)),
    ("In use", (deployment.explain, museum.predict_collection, museum.export_annotations)),
    ("In use", (museum.browse, deployment.export, deployment.pack, deployment.push)),
    ("In use", (deployment.serve,)),
):
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)

app.add_typer(annotate.annotate_app, name="annotate", rich_help_panel="In use")

_shared_task = find_spec("artaffect.shared_task")
if _shared_task is not None and _shared_task.origin is not None:  # the package works without it
    from artaffect.shared_task.commands import register

    register(app, data.import_app, data.save_import, data.MORE_LAYOUTS)


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
    verbose: bool = typer.Option(
        False, "--verbose", help="With --version: what the machine offers."
    ),
) -> None:
    if version:
        typer.echo(f"artaffect {artaffect.__version__}")
        if verbose:
            from artaffect.models import precision

            typer.echo(f"device: {precision.device()}")
            typer.echo(f"precision = 'auto' is {precision.describe('auto')}")
        raise typer.Exit


_EXTRAS = {
    "excel": ("openpyxl",),
    "explain": ("captum",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "scale": ("ray",),
    "serve": ("fastapi", "prometheus_client", "python_multipart", "uvicorn"),
    "tune": ("optuna", "tomlkit"),
}
"""The extras that bring the packages which only some commands need."""


class _TerminalHandler(logging.Handler):
    """Show the library's messages on standard error, each on one line."""

    def emit(self, record: logging.LogRecord) -> None:
        say(printable(record.getMessage()))


_HANDLER = _TerminalHandler()


def main() -> None:
    """Run the command; exit with 1 after one clear line where it cannot go on."""
    show_any_character()
    logger = logging.getLogger("artaffect")
    logger.addHandler(_HANDLER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        app()
    except ArtAffectError as error:
        sys.exit(f"error: {printable(str(error))}")
    except OSError as error:  # no permission, a full disk, a name that is too long
        names = " -> ".join(str(n) for n in (error.filename, error.filename2) if n is not None)
        reason = error.strerror or str(error)
        sys.exit(f"error: {printable(f'{names}: {reason}' if names else reason)}")
    except UnicodeEncodeError as error:  # from a library that takes names in UTF-8 only
        sys.exit(f"error: {printable(error.object)} is not UTF-8: give it another name")
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        extra = next((name for name, packages in _EXTRAS.items() if package in packages), None)
        if extra is None:
            raise
        sys.exit(f"error: this command needs {error.name}: pip install 'artaffect[{extra}]'")
    except (KeyboardInterrupt, _Interrupted):
        say("interrupted: finished work is kept; run the same command again to resume")
        sys.exit(130)  # as shells report it


_SHORT = {"predict", "explain"}
"""Commands that leave no thread, process or file open once they have answered."""


def run() -> None:
    """Run the command as a process of its own.

    A short command that succeeds skips the interpreter's teardown, which takes half a second with torch and a
    vocabulary of 250,000 pieces in memory.
    """
    try:
        main()
    except SystemExit as leaving:
        if leaving.code or _SHORT.isdisjoint(sys.argv[1:2]):
            raise
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    run()
