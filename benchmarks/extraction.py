"""Images and captions per second of `extract_features` and of the bare encoder on prepared tensors.

    python benchmarks/extraction.py [--pictures 192] [--captions 1024] [--repeats 3]

The bare encoder gets tensors from memory in suitable batches, while the extraction decodes, tokenises,
batches by length and writes its cache. Both run in turn, and each line has the extraction's speed as a
share of the bare encoder's. The captions are also padded to 128 tokens, as in the paper's training, to
show the cost.
"""

import argparse
import random
import tempfile
import time
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from artaffect.data.sample.painting_styles import PALETTES, STYLES, paint
from artaffect.data.sample.scenes import SCENES
from artaffect.features import extract_features
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import TextEncoder, create_text_encoder


def captions(count: int) -> list[str]:
    """Distinct captions of about 16 words in three languages."""
    texts = tomllib.loads((files("artaffect.data.sample") / "captions.toml").read_text("utf-8"))
    rng = random.Random(0)
    captions: set[str] = set()
    while len(captions) < count:
        culture = rng.choice(list(texts))
        scenes = texts[culture]["scenes"]
        sentences = [s for scene in scenes.values() for s in scene[1:]]
        captions.add(" ".join(rng.sample(sentences, rng.randint(1, 3))))
    return sorted(captions)


def pictures(folder: Path, count: int) -> list[Path]:
    """Paintings of the size of a web scan."""
    paths = []
    for number in range(count):
        rng = np.random.default_rng(number)
        scene, palette = list(SCENES)[number % 12], PALETTES[number % 3]
        image = paint(scene, palette, list(STYLES)[number % 4], rng).resize((640, 500))
        paths.append(folder / f"{number}.jpg")
        image.save(paths[-1], quality=88)
    return paths


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@torch.inference_mode()
def run_text(encoder: TextEncoder, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for ids, mask in batches:
        encoder(ids, mask)


def text_batches(
    encoder: TextEncoder, texts: list[str], pad_to: int = 0
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    tokens = sorted(encoder.tokenize(texts), key=len, reverse=True)
    size = 64 if not pad_to else 16
    batches = [encoder.collate(tokens[i : i + size]) for i in range(0, len(tokens), size)]
    if pad_to:
        batches = [
            tuple(torch.nn.functional.pad(part, (0, pad_to - part.shape[1])) for part in batch)  # type: ignore[misc]
            for batch in batches
        ]
    return batches


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=192)
    parser.add_argument("--captions", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    text, image = create_text_encoder(), create_image_encoder("efficientnet_lite0_stages")
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        folder = Path(name)
        texts, files_ = captions(options.captions), pictures(folder, options.pictures)
        ready = text_batches(text, texts)
        padded = text_batches(text, texts[:: max(1, len(texts) // 128)], pad_to=128)
        pixels = torch.stack([torch.from_numpy(image.preprocessing(f)) for f in files_])
        for repeat in range(options.repeats):
            bare = len(texts) / seconds(lambda: run_text(text, ready))
            full = len(texts) / seconds(
                lambda: extract_features(text, texts, folder / f"t{repeat}")
            )
            wide = sum(len(ids) for ids, _ in padded) / seconds(lambda: run_text(text, padded))
            print(
                f"captions/s: bare {bare:.0f}, extraction {full:.0f} ({full / bare:.0%}), "
                f"bare padded to 128 {wide:.0f} (extraction is {full / wide:.1f} x)"
            )
            bare = len(files_) / seconds(lambda: [image(part) for part in pixels.split(32)])
            full = len(files_) / seconds(
                lambda: extract_features(image, files_, folder / f"i{repeat}")
            )
            print(
                f"pictures/s: bare {bare:.1f}, extraction {full:.1f} ({full / bare:.0%})",
                flush=True,
            )


if __name__ == "__main__":
    main()
