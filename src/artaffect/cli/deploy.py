"""The commands export and push."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artaffect.cli.options import Overwrite, Run


def export(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Text encoder in eight bits: smaller and faster, not exact."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Export a model to ONNX, to predict without torch.

    Every command that predicts with a RUN takes the new folder. Before it is written, its predictions
    are compared with the original ones, for images and captions of many sizes.
    """
    from artaffect.prediction.export import export_onnx
    from artaffect.runtime import say

    difference = export_onnx(run, out, int8, overwrite)
    say(f"model folder: {out}; predictions differ from {run} {difference}")


def push(
    run: Run,
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/MODEL", help="The name of the model on the hub.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Visible only to you.")] = False,
) -> None:
    """Upload a model folder to the Hugging Face hub, with its model card and scores.

    Log in first, with `hf auth login` or HF_TOKEN. Afterwards you can pass `hf:OWNER/MODEL` wherever a
    command takes a RUN.
    """
    from artaffect.models.hub import push_folder, resolve_run
    from artaffect.runtime import say

    say(push_folder(resolve_run(run), repository, private))
