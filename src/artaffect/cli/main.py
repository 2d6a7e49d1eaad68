"""The command ``artaffect``: its groups, and the one place where errors become a line and an exit code."""

import logging
import sys
from importlib.util import find_spec

import typer

import artaffect
from artaffect.cli import data, deployment, models
from artaffect.errors import ArtAffectError
from artaffect.runtime import console

app = typer.Typer(
    name="artaffect",
    help="Which emotion an artwork evokes, and in whom: from an image, a caption, or both.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Start with **artaffect demo**: data, training, report and a prediction in two minutes.",
)
app.add_typer(data.import_app, name="import", rich_help_panel="Data")
app.command(rich_help_panel="Data")(data.split)
app.command(rich_help_panel="Data")(data.stats)
app.command(rich_help_panel="Data")(data.overlap)
app.command(rich_help_panel="Data")(data.sample)
app.command(rich_help_panel="Models")(models.demo)
app.command(rich_help_panel="Models")(models.train)
app.command(rich_help_panel="Models")(models.reproduce)
app.command(rich_help_panel="Models")(models.evaluate)
app.command(rich_help_panel="Models")(models.report)
app.command(rich_help_panel="Models")(models.cultures)
app.command(rich_help_panel="Models")(models.predict)
app.command(rich_help_panel="Models")(models.encoders)
app.command(rich_help_panel="In use")(deployment.explain)
app.command(rich_help_panel="In use")(deployment.predict_collection)
app.command(rich_help_panel="In use")(deployment.export)
app.command(rich_help_panel="In use")(deployment.push)
app.command(rich_help_panel="In use")(deployment.serve)

_shared_task = find_spec("artaffect.shared_task")
if _shared_task is not None and _shared_task.origin is not None:  # the package works without it
    from artaffect.shared_task.commands import register

    register(app, data.import_app, data.save_import, data.MORE_LAYOUTS)


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        typer.echo(f"artaffect {artaffect.__version__}")
        raise typer.Exit


_EXTRAS = {
    "captum": "explain",
    "fastapi": "serve",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "prometheus_client": "serve",
    "python_multipart": "serve",
    "ray": "scale",
    "uvicorn": "serve",
}
"""What brings the packages that only some commands need."""


class _TerminalHandler(logging.Handler):
    """Show the library's messages on standard error, as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        console.print(record.getMessage(), markup=False, soft_wrap=True)


def _show_messages() -> None:
    logger = logging.getLogger("artaffect")
    if not any(isinstance(handler, _TerminalHandler) for handler in logger.handlers):
        logger.addHandler(_TerminalHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False


def main() -> None:
    """Run the command; exit with 1 after one clear line where it cannot go on."""
    _show_messages()
    try:
        app()
    except ArtAffectError as error:
        sys.exit(f"error: {error}")
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(str(error.name).partition(".")[0])
        if extra is None:
            raise
        sys.exit(f"error: this command needs {error.name}: pip install 'artaffect[{extra}]'")
    except KeyboardInterrupt:
        sys.exit("stopped; what was finished is kept, the same command goes on from there")


if __name__ == "__main__":
    main()
