"""Features of altered inputs, each of which is encoded once however many cultures ask for it."""

from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from typing import Generic, TypeVar

import torch
from torch import Tensor

from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.text_encoders import TextEncoder

T = TypeVar("T")

_CAPTIONS = 16


class EncodeOnce(Generic[T]):
    """An encoder that remembers the features of every input. A culture's deletions at random, and all of
    its occlusions, are those of the other cultures too."""

    def __init__(
        self, encode: Callable[[Sequence[T]], Tensor], key: Callable[[T], Hashable]
    ) -> None:
        """``encode`` returns features [n, d] of n inputs; inputs with equal keys are equal."""
        self._encode, self._key = encode, key
        self._features: dict[Hashable, Tensor] = {}

    @torch.no_grad()
    def __call__(self, inputs: Sequence[T]) -> Tensor:
        """Features [n, d]."""
        keys = [self._key(item) for item in inputs]
        new = {k: item for k, item in zip(keys, inputs, strict=True) if k not in self._features}
        if new:
            self._features.update(zip(new, self._encode(list(new.values())), strict=True))
        return torch.stack([self._features[key] for key in keys])


def encode_images_once(encoder: ImageEncoder) -> EncodeOnce[Tensor]:
    """For images float32 [3, size, size], or a batch of them."""

    def key(image: Tensor) -> bytes:
        return blake2b(image.detach().cpu().contiguous().numpy().data).digest()

    return EncodeOnce(lambda images: encoder.encode(torch.stack(list(images))), key)


def encode_captions_once(encoder: TextEncoder) -> EncodeOnce[Sequence[int]]:
    """For the token ids of captions; those of similar length are encoded together."""
    device = next(encoder.parameters()).device

    def encode(captions: Sequence[Sequence[int]]) -> Tensor:
        order = sorted(range(len(captions)), key=lambda i: len(captions[i]))
        features = []
        for start in range(0, len(order), _CAPTIONS):
            batch = [captions[i] for i in order[start : start + _CAPTIONS]]
            ids, mask = encoder.collate(batch)
            features.append(encoder.encode(ids.to(device), mask.to(device)))
        return torch.cat(features)[torch.tensor(order).argsort()]

    return EncodeOnce(encode, tuple)
