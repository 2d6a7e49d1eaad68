"""The shared task on the command line: its import, its sample layout, and the group ``semeval``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from artaffect.outputs import check_output, check_output_folder
from artaffect.runtime import print_json, say
from artaffect.shared_task.rules import load_rules

semeval_app = typer.Typer(
    help="ArtEmotion-28 at SemEval-2027: rehearse both subtasks, write and check submissions.",
    no_args_is_help=True,
)

SampleLayout = Callable[[Path, int | None, int, int, bool], None]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Data = Annotated[Path, typer.Option("--data", help="A table made by artaffect import.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="The folder for features; default: the user's cache folder."),
]
Images = Annotated[Path | None, typer.Option("--images", help="The folder images/ of the release.")]
Items = Annotated[Path, typer.Option("--items", help="A task file, or one made by semeval items.")]
Zip = Annotated[Path, typer.Argument(metavar="ZIP", help="A submission.")]
ZipOut = Annotated[Path, typer.Option("--out", help="The zip file to write.")]
RulesFile = Annotated[Path | None, typer.Option("--rules", help="A TOML file of changed rules.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a rule: --set labels=sentiment. Repeatable."),
]


def register(
    app: typer.Typer,
    import_app: typer.Typer,
    save_import: Callable[[Path, Callable[[], Any], Path, bool], None],
    layouts: dict[str, SampleLayout],
) -> None:
    """Add the shared task to the command line.

    Args:
        save_import: Calls the reader of a command of ``import_app`` and saves its table.
        layouts: The layouts of ``artaffect sample`` by name.
    """
    app.add_typer(semeval_app, name="semeval", rich_help_panel="Shared task")
    layouts["artemotion28"] = sample_artemotion28

    @import_app.command("artemotion28")
    def import_artemotion28(
        file: Annotated[Path, typer.Argument(metavar="FILE", help="The published file.")],
        out: Annotated[
            Path, typer.Option("--out", help="The table to write, such as a28.parquet.")
        ],
        images: Images = None,
        keep_unpictured: Annotated[
            bool, typer.Option("--keep-unpictured", help="Keep rows without a readable image.")
        ] = False,
        by_region: Annotated[
            bool, typer.Option("--by-region", help="A culture is a region instead of a language.")
        ] = False,
        other: Annotated[
            Literal["keep", "merge", "drop"],
            typer.Option(
                "--other",
                help="The tenth label: keep it, merge it with something else, or drop it.",
            ),
        ] = "keep",
        as_json: AsJson = False,
    ) -> None:
        """Read artelingo28_train_val.csv: ArtELingo-28, the data of ArtEmotion-28 at SemEval-2027."""
        from artaffect.shared_task.reader import read_artemotion28

        save_import(
            file,
            lambda: read_artemotion28(file, images, keep_unpictured, by_region, other),
            out,
            as_json,
        )


def sample_artemotion28(
    out: Path, artworks: int | None, rows: int, seed: int, overwrite: bool
) -> None:
    """Write the layout ``artemotion28`` of ``artaffect sample``."""
    from artaffect.shared_task.sample import N_ARTWORKS, write_artemotion28

    file = write_artemotion28(out, artworks or N_ARTWORKS, rows, seed, overwrite)
    say(f"synthetic data: {file}")
    say(f"next: artaffect import artemotion28 {file} --images {out / 'images'} --out a28.parquet")


@semeval_app.command("items")
def items_(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The folder to write to.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    rules: RulesFile = None,
    set_: Set = None,
) -> None:
    """Make task files with answers from a table, to rehearse before the real ones are published.

    Writes st1_items.csv and st2_items.csv. Their last column holds the answers, so that semeval score
    can use them.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.shared_task.items import write_task_files

    check_output_folder(out, [data], ("st1_items.csv", "st2_items.csv"))
    table = AnnotationTable.load(data).of_split(split)
    captions, triples = write_task_files(table, out, load_rules(rules, set_))
    say(f"{len(captions):,} captions: {out / 'st1_items.csv'}")
    say(f"{len(triples):,} triples: {out / 'st2_items.csv'}")


@semeval_app.command()
def emotions(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A model folder, or hf:OWNER/MODEL.")],
    items: Items,
    images: Annotated[Path, typer.Option("--images", help="The folder images/ of the release.")],
    out: ZipOut,
    text_run: Annotated[
        str | None, typer.Option(help="Another RUN, for the predictions without the image.")
    ] = None,
    rules: RulesFile = None,
    set_: Set = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Subtask 1: label every caption without and with the image, and write a checked zip file.

    If the items have answers, both sets of labels are scored.
    """
    check_output(out, [items, images, *filter(None, [rules])])
    from artaffect.shared_task.emotions import predict_emotions
    from artaffect.shared_task.items import read_emotion_items
    from artaffect.shared_task.submissions import write_emotions

    settings = load_rules(rules, set_)
    captions = read_emotion_items(items, settings)
    text, multimodal = predict_emotions(run, captions, images, settings, text_run, cache)
    write_emotions(out, captions, text, multimodal, settings)
    n_changed = sum(a != b for a, b in zip(text, multimodal, strict=True))
    changed = f"{n_changed / max(len(captions), 1):.1%}"
    say(f"{len(captions):,} captions; the image changes {changed} of the labels: {out}")
    if captions.labels is not None:
        score(out, items, rules, set_, as_json)


@semeval_app.command()
def shares(
    data: Data,
    items: Items,
    out: ZipOut,
    model: Annotated[
        str, typer.Option(help="majority, copy, prior, blend or regression.")
    ] = "regression",
    run: Annotated[
        str | None, typer.Option(help="A RUN whose predictions from the image join the regression.")
    ] = None,
    images: Images = None,
    rules: RulesFile = None,
    set_: Set = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Subtask 2: predict the positive share in each target language, and write a checked zip file.

    The model is fitted on the training split of --data; with --run, on its validation split, because
    the run has already learned from the artworks of the training split. If the items have answers,
    the predictions are scored.
    """
    check_output(out, [data, items, *filter(None, (images, rules))])
    from artaffect.data.annotations import AnnotationTable
    from artaffect.shared_task.items import read_share_items
    from artaffect.shared_task.shares import predict_shares
    from artaffect.shared_task.submissions import write_shares

    settings = load_rules(rules, set_)
    triples = read_share_items(items, settings)
    table = AnnotationTable.load(data)
    predictions, coefficients = predict_shares(table, triples, settings, model, run, images, cache)
    write_shares(out, triples, predictions, settings)
    for name, value in coefficients.items():
        say(f"  {name}: {value:.3f}")
    say(f"{len(triples):,} triples: {out}")
    if triples.target_shares is not None:
        score(out, items, rules, set_, as_json)


@semeval_app.command()
def baselines(
    data: Data,
    split: Annotated[
        str, typer.Option(help="The split to score; models learn from train.")
    ] = "val",
    rules: RulesFile = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Score the baselines of both subtasks on a split of a table.

    Subtask 1: the most frequent label of each language. Subtask 2: every model that needs no images.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.shared_task.emotions import score_majority_baseline
    from artaffect.shared_task.shares import score_share_baselines

    settings, table = load_rules(rules, set_), AnnotationTable.load(data)
    divergences = score_share_baselines(table, split, settings)
    macro_f1 = score_majority_baseline(table, split, settings).mean.macro_f1
    rows = [["subtask 1, macro-F1 ↑", "majority", f"{macro_f1:.4f}"]]
    rows += [["subtask 2, divergence ↓", name, f"{v:.4f}"] for name, v in divergences.items()]
    result = {"subtask_1": {"majority": macro_f1}, "subtask_2": divergences}
    _show(f"Baselines on {split}", ["score", "model", "value"], rows, result, as_json)


@semeval_app.command()
def check(zip_: Zip, items: Items, rules: RulesFile = None, set_: Set = None) -> None:
    """Check a submission as the organisers would; the task file tells which subtask it is."""
    from artaffect.shared_task.items import is_share_file, read_emotion_items, read_share_items
    from artaffect.shared_task.submissions import check_emotions, check_shares

    settings = load_rules(rules, set_)
    if is_share_file(items, settings):
        check_shares(zip_, read_share_items(items, settings), settings)
    else:
        check_emotions(zip_, read_emotion_items(items, settings), settings)
    say(f"{zip_}: complete and well formed")


@semeval_app.command()
def score(
    zip_: Zip, items: Items, rules: RulesFile = None, set_: Set = None, as_json: AsJson = False
) -> None:
    """Score a submission against a task file with answers."""
    from artaffect.shared_task.scorer import ShareScores
    from artaffect.shared_task.submissions import score_submission

    settings = load_rules(rules, set_)
    scores = score_submission(zip_, items, settings)
    if isinstance(scores, ShareScores):
        overall = ("mean over targets", scores.divergence)
        shift = ("Pearson correlation of the shift", scores.pearson)
        rows = [[name, f"{v:.4f}"] for name, v in (*scores.targets.items(), overall, shift)]
        title = f"Subtask 2: {scores.items:,} triples of {scores.pairs:,} pairs"
        _show(title, ["target", "divergence ↓"], rows, asdict(scores), as_json)
        return
    columns = (
        (*scores[file].languages.items(), ("mean", scores[file].mean))
        for file in (settings.text_file, settings.multimodal_file)
    )
    rows = [
        [name, str(both.items), f"{text.macro_f1:.4f}", f"{both.macro_f1:.4f}"]
        for (name, text), (_, both) in zip(*columns, strict=True)
    ]
    header = ["language", "captions", "text: macro-F1", "multimodal: macro-F1"]
    _show("Subtask 1", header, rows, {k: asdict(v) for k, v in scores.items()}, as_json)


def _show(title: str, header: list[str], rows: list[list[str]], result: Any, as_json: bool) -> None:
    from artaffect.reports.evaluation import print_tables
    from artaffect.reports.tables import TextTable

    if as_json:
        print_json(result)
    else:
        print_tables([TextTable(title, header, rows)])
