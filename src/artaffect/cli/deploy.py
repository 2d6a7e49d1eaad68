"""Commands that put a model to work: export, push, serve."""

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
        typer.Option("--int8", help="Text encoder in eight bits: small and fast, not quite exact."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the same model as ONNX graphs, which are answered from without torch.

    Every command that takes a RUN to predict takes the new folder. It is checked against the old one
    before it is written, with pictures and captions of many sizes.
    """
    from artaffect.prediction.export import export_onnx
    from artaffect.runtime import say

    difference = export_onnx(run, out, int8, overwrite)
    say(f"model folder: {out}; answers differ from {run} {difference}")


def push(
    run: Run,
    repository: Annotated[str, typer.Argument(metavar="OWNER/MODEL", help="Its name on the hub.")],
    private: Annotated[bool, typer.Option("--private", help="Only for you to see.")] = False,
) -> None:
    """Upload a model folder to the Hugging Face hub, with its card and scores.

    Log in first, with `hf auth login` or HF_TOKEN. Afterwards OWNER/MODEL stands wherever a RUN does.
    """
    from artaffect.models.hub import push_folder
    from artaffect.runtime import say

    say(push_folder(run, repository, private))
