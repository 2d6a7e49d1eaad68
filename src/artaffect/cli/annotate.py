"""Commands for votes from people: annotate export, import, next."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from artaffect.cli import options
from artaffect.cli.show import print_json
from artaffect.runtime import say

annotate_app = typer.Typer(
    help="Ask people: hand works to Label Studio, read their votes, and see what to ask next.",
    no_args_is_help=True,
)


class Tool(StrEnum):
    """For which tool tasks are written."""

    LABEL_STUDIO = "label-studio"


@annotate_app.command("export")
def export_tasks(
    source: Annotated[
        Path,
        Argument(
            metavar="SOURCE",
            help="A file of `artaffect predict-collection`, or a table of `artaffect import`.",
        ),
    ],
    out: Annotated[Path, Option(help="The folder to write.")],
    to: Annotated[Tool, Option(help="The tool in which people vote.")] = Tool.LABEL_STUDIO,
    culture: Annotated[
        list[str] | None, Option(help="Whom to ask; repeatable. Default: all cultures of SOURCE.")
    ] = None,
    most: Annotated[
        int | None,
        Option(
            min=1,
            help="At most so many questions: those that `annotate next` ranks first. Default: all.",
        ),
    ] = None,
    votes: Annotated[
        Path | None, Option(help="With --most: the votes so far, of `artaffect annotate import`.")
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write tasks and a labelling configuration for each culture.

    The labels are shown in the culture's language where their names are known. The model's answer is the
    pre-annotation, with its probability.
    """
    from artaffect.prediction.collection import label_studio
    from artaffect.prediction.collection.next_votes import next_votes as rank

    if votes is not None and most is None:
        raise typer.BadParameter("needs --most: votes rank the questions", param_hint="--votes")
    questions = None if most is None else rank(source, votes, culture or None, count=most)
    summary = label_studio.export_tasks(
        source, out, culture or None, questions=questions, overwrite=overwrite
    )
    if as_json:
        print_json(summary)
    say(f"wrote tasks about {summary.items:,} works for {', '.join(summary.cultures)}: {out}")
    if summary.document_root is not None:
        root = summary.document_root
        say(f"images: start Label Studio with LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root}")


@annotate_app.command("import")
def import_votes(
    file: Annotated[Path, Argument(metavar="FILE", help="What Label Studio exports as JSON.")],
    out: Annotated[Path, Option(help="The votes to write: NAME.jsonl.")],
    as_json: options.Json = False,
) -> None:
    """Read people's votes back, one in a line, for `artaffect import table` and `annotate next`."""
    from artaffect.prediction.collection import label_studio

    summary = label_studio.import_votes(file, out)
    if as_json:
        print_json(summary)
    counts = ", ".join(f"{name} {number:,}" for name, number in summary.by_culture.items())
    say(f"read {summary.votes:,} votes of {summary.annotators:,} annotators ({counts}): {out}")
    for reason, number in summary.left_out.items():
        say(f"left out {number:,}: {reason}")


@annotate_app.command("next")
def next_votes(
    answers: Annotated[
        Path, Argument(metavar="ANSWERS", help="A file of `artaffect predict-collection`.")
    ],
    votes: Annotated[
        Path | None, Option(help="The votes so far, of `artaffect annotate import`.")
    ] = None,
    culture: Annotated[
        list[str] | None, Option(help="Whom to ask; repeatable. Default: all cultures of ANSWERS.")
    ] = None,
    count: Annotated[int, Option(min=1, help="How many questions.")] = 20,
    prior_votes: Annotated[
        float, Option(min=0.01, help="How many votes the model's answer counts as.")
    ] = 2.0,
    as_json: options.Json = False,
) -> None:
    """Rank what to ask of whom: the works and cultures of which one more vote tells most."""
    from artaffect.prediction.collection import next_votes as ranking

    questions = ranking.next_votes(
        answers, votes, culture or None, count=count, prior_votes=prior_votes
    )
    if as_json:
        print_json([asdict(question) for question in questions])
        return
    for q in questions:
        line = f"{q.bits:.3f} bits  {q.item}  ask {q.culture}  (votes {q.votes}, likely {q.top})"
        typer.echo(line)
