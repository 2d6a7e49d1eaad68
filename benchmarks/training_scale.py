"""Time per epoch and peak memory of the recipe `compact` at ArtELingo's size, on random features.

    python benchmarks/training_scale.py [--rows 920000] [--artworks 64000]

Features are random numbers of the right shape: nothing is learned, but the work is the same.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from artaffect.config import SeparateConfig, load_recipe
from artaffect.features import AnnotationArrays
from artaffect.models.fusion import SourceOutputs
from artaffect.training.modalities import CaptionSource, ImageSource
from artaffect.training.separate import fit_fusion, out_of_fold_logits
from artaffect.training.sources import Source, SourceContext

CULTURES = ("arabic", "chinese", "english")
WIDTHS = {"image": 1536, "caption": 384}


def report(what: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = time.perf_counter() - start
    print(f"{what}: {seconds:.0f} s, peak memory so far {peak:.1f} GB", flush=True)
    return result


def create_source(kind: type[Source[Any, Any]], config: Any, context: SourceContext) -> Any:
    """A source whose head is trained for one epoch with one penalty."""
    short = replace(config, penalty=config.penalty[:1], train=replace(config.train, epochs=1))
    encoder = SimpleNamespace(feature_dim=WIDTHS[kind.modality])
    return kind(short, encoder, context)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=920_000)
    parser.add_argument("--artworks", type=int, default=64_000)
    options = parser.parse_args()
    torch.manual_seed(0)
    config = load_recipe("compact", SeparateConfig)
    rows = AnnotationArrays(
        artwork_ids=np.arange(options.artworks),
        image=torch.randn(options.artworks, WIDTHS["image"]),
        artwork_has_image=torch.ones(options.artworks, dtype=torch.bool),
        artwork=torch.randint(0, options.artworks, (options.rows,)),
        caption=torch.randn(options.rows, WIDTHS["caption"]),
        caption_index=torch.arange(options.rows),
        emotion=torch.randint(0, 9, (options.rows,)),
        culture=torch.randint(1, 4, (options.rows,)),
        culture_names=np.full(options.rows, "any", object),
    )
    val = rows.select(torch.arange(options.rows) < options.rows // 20)
    context = SourceContext(len(CULTURES), cultures=CULTURES)
    image = create_source(ImageSource, config.image, context)
    caption = create_source(CaptionSource, config.caption, context)
    report("image head, 1 epoch", lambda: image.fit(rows, val))
    report("caption head, 1 epoch", lambda: caption.fit(rows, val))
    logits = report(
        "2 of 5 folds, 1 epoch each", lambda: out_of_fold_logits([image, caption], rows, 2, 0)
    )
    features = {source.name: source.stored(rows) for source in (image, caption)}
    outputs = SourceOutputs(features, logits, rows.culture, rows.emotion)
    fusion = replace(config.fusion, form="logits", per_culture="off")
    report("fusion of logits", lambda: fit_fusion(fusion, outputs, outputs, context))


if __name__ == "__main__":
    main()
