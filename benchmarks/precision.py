"""Features in float32 against ``precision = "auto"``, in turn: speed, and how far probabilities move.

    python benchmarks/precision.py RUN TABLE

RUN is a model folder that reads images and captions; its probabilities are compared on the validation rows
of TABLE (Parquet, as ``artaffect import`` writes it), for each kind of input.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

import artaffect as aa
from artaffect.features import extract_arrays
from artaffect.models.checkpoint import load_model
from artaffect.models.precision import describe

ROUNDS = 5
SOURCES = ("captions", "images")
KINDS = {"image": (True, False), "caption": (False, True), "both": (True, True)}


def main(run: str, table_file: str) -> None:
    model = load_model(Path(run))
    image, text = model.encoders
    if image is None or text is None:
        sys.exit("the model must read images and captions")
    table = aa.AnnotationTable.load(table_file)
    rows = table.of_split("val")
    print(f"auto: {describe('auto')}; threads: {torch.get_num_threads()}")
    captions = sorted(text.tokenize(rows.strings("caption")[:256]), key=len)
    ids = [text.collate(captions[i : i + 32]) for i in range(0, len(captions), 32)]
    pixels = torch.randn(16, 3, image.preprocessing.size, image.preprocessing.size)
    speeds: dict[tuple[str, str], list[float]] = {}
    with torch.inference_mode():
        for _ in range(ROUNDS + 1):
            for precision in ("float32", "auto"):
                image.precision = text.precision = precision
                start = time.perf_counter()
                for batch in ids:
                    text.encode(*batch)
                between = time.perf_counter()
                image.encode(pixels)
                end = time.perf_counter()
                speeds.setdefault(("captions", precision), []).append(
                    len(captions) / (between - start)
                )
                speeds.setdefault(("images", precision), []).append(len(pixels) / (end - between))
    for what in SOURCES:
        full, half = (speeds[what, p][1:] for p in ("float32", "auto"))
        ratio = statistics.median(b / a for a, b in zip(full, half, strict=True))
        print(
            f"{what}/s: {statistics.median(full):.0f} and {statistics.median(half):.0f}, {ratio:.2f}"
        )
    answers: dict[str, dict[str, np.ndarray]] = {}
    for precision in ("float32", "auto"):
        image.precision = text.precision = precision
        arrays = extract_arrays(rows, image, text, model.cultures)
        for kind, present in KINDS.items():
            mask = torch.tensor([present]).expand(len(arrays), 2)
            features = arrays.image[arrays.artwork], arrays.caption[arrays.caption_index]
            probabilities, _ = model.answer(*features, mask, arrays.culture)
            answers.setdefault(kind, {})[precision] = probabilities.numpy()
    labels = arrays.emotion.numpy()
    for kind, answer in answers.items():
        full, half = answer["float32"], answer["auto"]
        change = np.abs(full - half).max(1)
        accuracy = [(p.argmax(1) == labels).mean() for p in (full, half)]
        print(
            f"{kind}: {len(labels)} rows, largest change {change.max():.4f}, 99 % below "
            f"{np.quantile(change, 0.99):.4f}, mean {change.mean():.4f}; accuracy {accuracy[0]:.4f} and "
            f"{accuracy[1]:.4f}; same label {(full.argmax(1) == half.argmax(1)).mean():.4f}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
