"""Commands for ArtEmotion-28 at SemEval-2027: items, emotions, shares, baselines, check, score."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from artaffect.shared_task.rules import SharedTaskRules

semeval_app = typer.Typer(
    help="ArtEmotion-28 at SemEval-2027: rehearse both subtasks, write and check submissions.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A model folder made by artaffect train.")]
Data = Annotated[Path, typer.Option("--data", help="A table made by artaffect import.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Where features are kept; default: the user's cache folder."),
]
Items = Annotated[Path, typer.Option("--items", help="The task file, or one of semeval items.")]
Zip = Annotated[Path, typer.Argument(metavar="ZIP", help="A submission.")]
ZipOut = Annotated[Path, typer.Option("--out", help="The zip to write.")]
Rules = Annotated[
    Path | None,
    typer.Option("--rules", help="A TOML file with the task's rules, where they changed."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a rule: --set labels=sentiment. Repeatable."),
]


@semeval_app.command("items")
def items_(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    rules: Rules = None,
    set_: Set = None,
) -> None:
    """Make task files with answers out of a table, to rehearse before the real ones are there.

    Writes st1_items.csv and st2_items.csv; their last column holds the answers, so that score reads
    them too.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.runtime import say
    from artaffect.shared_task.items import PositiveVotes, emotion_items, write_csv

    asked = _rules(rules, set_)
    part = AnnotationTable.load(data).of_split(split)
    first = emotion_items(part, asked)
    header = (asked.id, asked.image_name, asked.language, asked.caption, asked.label)
    columns = (first.ids, first.images, first.languages, first.captions, first.labels or ())
    write_csv(out / "st1_items.csv", header, columns)
    second = PositiveVotes.of(part, asked).items(asked)
    names = (asked.painting, asked.source, asked.source_share, asked.target, asked.share)
    paintings, sources, targets = zip(*second.keys, strict=True)
    known = (
        second.source_shares.tolist(),
        second.shares.tolist() if second.shares is not None else [],
    )
    write_csv(out / "st2_items.csv", names, (paintings, sources, known[0], targets, known[1]))
    say(f"{len(first.ids):,} captions: {out / 'st1_items.csv'}")
    say(f"{len(second):,} triples: {out / 'st2_items.csv'}")


@semeval_app.command("emotions")
def emotions(
    run: Run,
    items: Items,
    images: Annotated[Path, typer.Option("--images", help="The folder images/ of the release.")],
    out: ZipOut,
    text_run: Annotated[
        Path | None,
        typer.Option("--text-run", help="Another model folder for the run without the image."),
    ] = None,
    rules: Rules = None,
    set_: Set = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Subtask 1: label every caption without the image and with it, and write the checked zip.

    Where the items hold answers, both runs are scored.
    """
    from artaffect.runtime import say
    from artaffect.shared_task.emotions import answer_emotions
    from artaffect.shared_task.items import read_emotion_items
    from artaffect.shared_task.submissions import write_emotions

    asked = _rules(rules, set_)
    found = read_emotion_items(items, asked)
    answers = answer_emotions(run, found, images, asked, text_run, cache)
    write_emotions(out, found, answers.text, answers.multimodal, asked)
    say(
        f"{len(found.ids):,} captions; the image changes {answers.changed:.1%} of the labels: {out}"
    )
    if found.labels is not None:
        _score_emotions(out, items, asked, as_json)


@semeval_app.command("shares")
def shares(
    data: Data,
    items: Items,
    out: ZipOut,
    model: Annotated[
        str, typer.Option(help="majority, copy, prior, blend or regression.")
    ] = "regression",
    run: Annotated[
        Path | None,
        typer.Option("--run", help="A model folder: what it sees in the picture joins regression."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="With --run: the folder images/ of the release.")
    ] = None,
    rules: Rules = None,
    set_: Set = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Subtask 2: the positive share in each target language, as a checked zip.

    Learns from the training split of --data; with --run from its validation split, whose paintings the
    run has not learned from. Where the items hold answers, they are scored.
    """
    from artaffect.runtime import say
    from artaffect.shared_task.answers import answer_shares
    from artaffect.shared_task.items import read_share_items
    from artaffect.shared_task.submissions import write_shares

    asked = _rules(rules, set_)
    found = read_share_items(items, asked)
    answers, learned = answer_shares(data, found, asked, model, run, images, cache)
    write_shares(out, found, answers, asked)
    for name, value in learned.items():
        say(f"  {name}: {value:.3f}")
    say(f"{len(found):,} triples: {out}")
    if found.shares is not None:
        _score_shares(out, items, asked, as_json)


@semeval_app.command("baselines")
def baselines(
    data: Data,
    split: Annotated[str, typer.Option(help="Scored on; the models learn from train.")] = "val",
    rules: Rules = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """What is to be beaten on a split of a table.

    Subtask 1: the commonest label of each language. Subtask 2: every model that needs no pictures.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.shared_task.answers import majority_scores
    from artaffect.shared_task.items import PositiveVotes
    from artaffect.shared_task.shares import score_baselines

    asked = _rules(rules, set_)
    table = AnnotationTable.load(data)
    known = PositiveVotes.of(table.of_split("train"), asked)
    wanted = PositiveVotes.of(table.of_split(split), asked).items(asked)
    found = score_baselines(known, known.items(asked), wanted, asked)
    majority = majority_scores(table.of_split("train"), table.of_split(split), asked).mean.macro_f1
    rows = [["subtask 1, macro-F1 ↑", "majority", f"{majority:.4f}"]]
    rows += [["subtask 2, divergence ↓", name, f"{value:.4f}"] for name, value in found.items()]
    answer = {"subtask 1": {"majority": majority}, "subtask 2": found}
    _show(f"Baselines on {split}", ["score", "model", "value"], rows, answer, as_json)


@semeval_app.command("check")
def check(zip_: Zip, items: Items, rules: Rules = None, set_: Set = None) -> None:
    """Check a submission as the organisers would; which subtask it is, the items tell."""
    from artaffect.runtime import say
    from artaffect.shared_task.items import is_share_file, read_emotion_items, read_share_items
    from artaffect.shared_task.submissions import check_emotions, check_shares

    asked = _rules(rules, set_)
    if is_share_file(items, asked):
        check_shares(zip_, read_share_items(items, asked), asked)
    else:
        check_emotions(zip_, read_emotion_items(items, asked), asked)
    say(f"{zip_}: complete and well formed")


@semeval_app.command("score")
def score(
    zip_: Zip, items: Items, rules: Rules = None, set_: Set = None, as_json: AsJson = False
) -> None:
    """Score a submission against items that hold the answers."""
    from artaffect.shared_task.items import is_share_file

    asked = _rules(rules, set_)
    (_score_shares if is_share_file(items, asked) else _score_emotions)(zip_, items, asked, as_json)


def _rules(path: Path | None, overrides: list[str] | None) -> SharedTaskRules:
    from artaffect.shared_task.rules import load_rules

    return load_rules(path, overrides or ())


def _score_emotions(zip_: Path, items: Path, rules: SharedTaskRules, as_json: bool) -> None:
    from artaffect.shared_task.answers import score_emotion_zip

    found = score_emotion_zip(zip_, items, rules)
    text, both = found[rules.text_file], found[rules.multimodal_file]
    rows = [
        [name, str(one.items), f"{text.languages[name].macro_f1:.4f}", f"{one.macro_f1:.4f}"]
        for name, one in both.languages.items()
    ]
    rows.append(
        ["mean", str(both.mean.items), f"{text.mean.macro_f1:.4f}", f"{both.mean.macro_f1:.4f}"]
    )
    answer = {name: asdict(scores) for name, scores in found.items()}
    header = ["language", "captions", "text: macro-F1", "multimodal: macro-F1"]
    _show("Subtask 1", header, rows, answer, as_json)


def _score_shares(zip_: Path, items: Path, rules: SharedTaskRules, as_json: bool) -> None:
    from artaffect.shared_task.answers import score_share_zip

    found = score_share_zip(zip_, items, rules)
    rows = [[name, f"{value:.4f}"] for name, value in found.targets.items()]
    rows.append(["mean over targets", f"{found.divergence:.4f}"])
    rows.append(["Pearson of the shift", f"{found.pearson:.4f}"])
    title = f"Subtask 2: {found.items:,} triples of {found.pairs:,} pairs"
    _show(title, ["target", "divergence ↓"], rows, asdict(found), as_json)


def _show(title: str, header: list[str], rows: list[list[str]], answer: Any, as_json: bool) -> None:
    from artaffect.report.evaluation import print_tables
    from artaffect.report.tables import TextTable

    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print_tables([TextTable(title, header, rows)])
