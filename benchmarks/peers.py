"""A caption model beside what others would build, on the same rows.

    python -m benchmarks.peers TABLE OUT [NAME=FILE.npz ...]

TABLE is divided by artwork into ``train``, on which every model learns, ``val``, on which its penalty is
chosen, and ``test``, on which it is scored, unless it has all three. The models are scikit-learn's logistic
regression on TF-IDF, the same on the vectors of multilingual-e5-small, and `compact`, caption source, whose
head learns from the same vectors. Scores are given with intervals by bootstrap over artworks, differences are
paired, and the vectors are extracted before any time is taken. It needs scikit-learn.

A FILE holds predictions of a model that was trained in another environment, on the rows of OUT/rows.parquet:
``annotation_id`` [n] of the test rows, ``probabilities`` [n, k] in the order of the labels, and ``seconds``.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.evaluation import evaluate
from artaffect.models.checkpoint import load_model
from artaffect.models.text_encoders import create_text_encoder
from artaffect.prediction.evaluation import predict_proba
from artaffect.training.run import train_run

OURS = "artaffect compact"
TFIDF, VECTORS = "TF-IDF, logistic regression", "e5 vectors, logistic regression"
METRICS = ("accuracy", "macro_f1", "log_loss")
INVERSE_PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
SPLITS = ("train", "val", "test")


def best_regression(
    features: Sequence[Any], rows: Sequence[AnnotationArrays]
) -> tuple[np.ndarray, float]:
    """Probabilities of the test rows, by the penalty that is best on validation; and its inverse."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    train, val, test = features
    labels = [part.emotion.numpy() for part in rows]
    known = np.arange(len(rows[0].labels))
    best = (np.inf, np.zeros(0), 0.0)
    for inverse in INVERSE_PENALTIES:
        model = LogisticRegression(C=inverse, max_iter=1000).fit(train, labels[0])
        loss = log_loss(labels[1], _columns(model, val, known), labels=known)
        if loss < best[0]:
            best = (loss, _columns(model, test, known), inverse)
    return best[1:]


def _columns(model: Any, features: Any, known: np.ndarray) -> np.ndarray:
    """A model's probabilities with a column for every label, also those that it has not seen."""
    probabilities = np.full((features.shape[0], len(known)), 1e-9)
    probabilities[:, model.classes_] = model.predict_proba(features)
    return probabilities / probabilities.sum(1, keepdims=True)


def by_words(rows: Sequence[AnnotationArrays]) -> tuple[np.ndarray, str]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    train = words.fit_transform(rows[0].captions)
    features = [train, *(words.transform(part.captions) for part in rows[1:])]
    probabilities, inverse = best_regression(features, rows)
    return probabilities, f"C = {inverse:g}"


def by_vectors(rows: Sequence[AnnotationArrays]) -> tuple[np.ndarray, str]:
    from sklearn.preprocessing import StandardScaler

    vectors = [part.caption[part.caption_index].numpy() for part in rows]
    scaler = StandardScaler().fit(vectors[0])
    probabilities, inverse = best_regression([scaler.transform(v) for v in vectors], rows)
    return probabilities, f"C = {inverse:g}"


def by_artaffect(
    table: AnnotationTable, test: AnnotationArrays, recipe: SeparateConfig, out: Path
) -> tuple[np.ndarray, str]:
    train_run(table, recipe, out, overwrite=True)
    model = load_model(out)
    return predict_proba(model, test), f"temperature {float(model.temperature[1, 0]):.2f}"


def read_predictions(file: Path, test: AnnotationTable) -> tuple[np.ndarray, float]:
    """Probabilities [n, k] in the order of the test rows, and seconds."""
    with np.load(file) as arrays:
        row_of = {str(name): row for row, name in enumerate(arrays["annotation_id"])}
        rows = [row_of[name] for name in test.strings("annotation_id")]
        return arrays["probabilities"][rows].astype(float), float(arrays["seconds"])


def divided(file: Path) -> AnnotationTable:
    """A table with the three splits, by artwork unless it has them, without partial labels."""
    table = AnnotationTable.load(file)
    if not set(SPLITS) <= set(table.counts("split")):
        table = table.split(0.8, 0.1, 0.1)
    return table.with_exact_labels()


def print_scores(
    predictions: Mapping[str, np.ndarray],
    notes: Mapping[str, str],
    test: AnnotationArrays,
    pairs: Sequence[tuple[str, str]],
) -> None:
    """Print the scores of models on the test rows, and the differences of pairs, first − second."""
    arrays = test.emotion.numpy(), test.culture_names, test.artwork.numpy()
    result = evaluate(predictions, *arrays, pairs=pairs)
    print(f"{len(test):,} captions of {result.protocol['artworks']:,} artworks")
    for name in predictions:
        scores = " | ".join(f"{getattr(result[name], metric):.3f}" for metric in METRICS)
        print(f"| {name} | {scores} | {notes[name]} |")
    for comparison in result.comparisons:
        values = comparison.by_group.overall
        scores = " | ".join(f"{values[metric]:+.3f}" for metric in METRICS)
        print(f"| {comparison.first} − {comparison.second} | {scores} |")


def main(file: Path, out: Path, *others: str) -> None:
    table = divided(file)
    out.mkdir(parents=True, exist_ok=True)
    table.save(out / "rows.parquet")
    recipe = replace(load_recipe("compact", SeparateConfig), image=None)
    assert recipe.caption is not None
    encoder = create_text_encoder(recipe.caption.encoder)
    parts = [table.of_split(name) for name in SPLITS]
    rows = [extract_arrays(part, None, encoder, table.cultures) for part in parts]
    linear = replace(recipe, caption=replace(recipe.caption, hidden=(), penalty=(0.01, 0.03, 0.1)))
    models: dict[str, Callable[[], tuple[np.ndarray, str]]] = {
        TFIDF: lambda: by_words(rows),
        VECTORS: lambda: by_vectors(rows),
        f"{OURS}, linear head": lambda: by_artaffect(table, rows[2], linear, out / "linear"),
        OURS: lambda: by_artaffect(table, rows[2], recipe, out / "compact"),
    }
    predictions: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}
    for name, train in models.items():
        start = time.perf_counter(), time.process_time()
        predictions[name], chosen = train()
        spent = time.perf_counter() - start[0], time.process_time() - start[1]
        notes[name] = f"{spent[0]:.1f} | {spent[1]:.1f} | {chosen}"
    for name, _, path in (other.partition("=") for other in others):
        predictions[name], seconds = read_predictions(Path(path), parts[2])
        notes[name] = f"{seconds:.1f} | | elsewhere"
    pairs = [(OURS, name) for name in predictions if name != OURS]
    print_scores(predictions, notes, rows[2], pairs)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]), *sys.argv[3:])
