"""Altered inputs are encoded once, and their features are those of the encoder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from artaffect.explain.encoding import EncodeOnce, encode_captions_once, encode_images_once
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder


def test_an_input_is_encoded_once_and_keeps_its_place() -> None:
    encoded: list[int] = []

    def encode(numbers: Sequence[int]) -> Tensor:
        encoded.extend(numbers)
        return torch.tensor([[float(n), float(n**2)] for n in numbers])

    once = EncodeOnce(encode, int)
    assert once([3, 1, 3]).tolist() == [[3.0, 9.0], [1.0, 1.0], [3.0, 9.0]]
    assert once([1, 2]).tolist() == [[1.0, 1.0], [2.0, 4.0]]
    assert encoded == [3, 1, 2]


def test_features_are_those_of_the_encoders(encoder_folders: dict[str, Path]) -> None:
    text = create_text_encoder(str(encoder_folders["bert"]))
    captions = text.tokenize([" ".join(["waves"] * n) for n in (5, 1, 20, *range(1, 19))])
    with torch.no_grad():
        expected = torch.cat([text(*text.collate([caption])) for caption in captions])
    torch.testing.assert_close(encode_captions_once(text)(captions), expected, rtol=0, atol=1e-5)
    images = create_image_encoder(str(encoder_folders["resnet"]))
    size = images.preprocessing.size
    pixels = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    once = encode_images_once(images)
    torch.testing.assert_close(
        once([*pixels, pixels[0]])[1:],
        images.encode(torch.cat([pixels[1:], pixels[:1]])),
        rtol=0,
        atol=1e-5,
    )
