"""From files to answers and scores, for both subtasks."""

from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError, UnknownNameError
from artaffect.shared_task.images import expected_shares, find_images
from artaffect.shared_task.items import (
    PositiveVotes,
    ShareItems,
    emotion_items,
    read_emotion_items,
    read_share_items,
)
from artaffect.shared_task.rules import SharedTaskRules
from artaffect.shared_task.scorer import EmotionScores, ShareScores, score_emotions, score_shares
from artaffect.shared_task.shares import ShareModel, ShareModelName
from artaffect.shared_task.submissions import check_emotions, check_shares


def answer_shares(
    data: Path,
    items: ShareItems,
    rules: SharedTaskRules,
    model: str = "regression",
    run: Path | None = None,
    images: Path | None = None,
    cache: Path | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Positive shares of items [n], and what was learned.

    Args:
        data: a table of annotations; priors come from its training split.
        run: a model folder: what it sees in a picture joins the model ``regression``.
        images: with ``run``, the folder in which the pictures lie.

    Raises:
        UnknownNameError: no model has this name.
        InputError: a language without votes; or ``run`` without ``images`` or for another model.
    """
    if model not in get_args(ShareModelName):
        raise UnknownNameError("model", model, get_args(ShareModelName))
    if run is not None and (model != "regression" or images is None):
        raise InputError("--run is for the model regression, and needs --images")
    table = AnnotationTable.load(data)
    votes = PositiveVotes.of(table.of_split("train"), rules)
    # a run has learned its training paintings by heart: what its view is worth, others must tell
    known = votes if run is None else PositiveVotes.of(table.of_split("val"), rules)
    learned_from = known.items(rules)
    expected = None
    if run is not None and images is not None:
        names = [str(name) for name in {*items.paintings, *learned_from.paintings}]
        pictures = find_images(images, names)
        expected = expected_shares(run, pictures, votes.languages, rules, cache)
    fitted = ShareModel(model, votes, expected).fit(learned_from)  # type: ignore[arg-type]
    return fitted.predict(items), fitted.describe()


def majority_scores(
    train: AnnotationTable, asked: AnnotationTable, rules: SharedTaskRules
) -> EmotionScores:
    """Subtask 1, answered with the commonest label of each caption's language in training."""
    known, items = emotion_items(train, rules), emotion_items(asked, rules)
    counts: dict[str, Counter[str]] = {}
    for language, label in zip(known.languages, known.labels or (), strict=True):
        counts.setdefault(language, Counter())[label] += 1
    whole: Counter[str] = sum(counts.values(), Counter())
    said = [counts.get(name, whole).most_common(1)[0][0] for name in items.languages]
    return score_emotions(items.labels or (), said, items.languages, rules)


def score_emotion_zip(zip_: Path, items: Path, rules: SharedTaskRules) -> dict[str, EmotionScores]:
    """Both runs of a submission to subtask 1, by file.

    Raises:
        InputError: the items hold no answers, or one that the rules do not know.
        SubmissionError: see :func:`check_emotions`.
    """
    asked = read_emotion_items(items, rules)
    if asked.labels is None:
        raise InputError(f"{items} holds no answers: it has no column {rules.label}")
    unknown = sorted(set(asked.labels) - set(rules.names))
    if unknown:
        raise InputError(
            f"{items}: column {rules.label} holds {unknown[0]!r}; the rules know "
            f"{', '.join(rules.names)}"
        )
    return {
        name: score_emotions(asked.labels, said, asked.languages, rules)
        for name, said in check_emotions(zip_, asked, rules).items()
    }


def score_share_zip(zip_: Path, items: Path, rules: SharedTaskRules) -> ShareScores:
    """A submission to subtask 2.

    Raises:
        InputError: the items hold no answers.
        SubmissionError: see :func:`check_shares`.
    """
    asked = read_share_items(items, rules)
    if asked.shares is None:
        raise InputError(f"{items} holds no answers: it has no column {rules.share}")
    return score_shares(asked, check_shares(zip_, asked, rules), rules)
