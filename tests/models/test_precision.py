"""Encoders compute in bfloat16 where the processor has it, and only if their settings say so."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.models import WordPiece

from artaffect.features import extract_features
from artaffect.models.feature_cache import FeatureCache
from artaffect.models.image_encoders import build_image_encoder, create_image_encoder
from artaffect.models.precision import (
    computing,
    cpu_bfloat16,
    describe,
    native_bfloat16,
    resolve,
)
from artaffect.models.text_encoders import TextEncoder, build_text_encoder, create_text_encoder


@pytest.fixture
def encoder(encoder_folders: dict[str, Path]) -> TextEncoder:
    return create_text_encoder(str(encoder_folders["bert"]))


def test_bfloat16_is_told_from_the_processor_s_flags() -> None:
    assert cpu_bfloat16(frozenset({"avx2", "avx512f"})) is None
    assert cpu_bfloat16(frozenset({"avx512f", "avx512_bf16"})) == "AVX-512-BF16"
    assert cpu_bfloat16(frozenset({"avx512_bf16", "amx_bf16"})) == "AMX"


def test_auto_is_float32_where_bfloat16_would_be_emulated() -> None:
    program = (
        "from artaffect.models.precision import describe, resolve\n"
        "print(resolve('auto'), describe('auto'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert run.stdout.split() == ["float32", "float32"]


def test_auto_follows_the_machine_and_other_names_do_not() -> None:
    assert resolve("auto") == ("bfloat16" if native_bfloat16() else "float32")
    assert resolve("float32") == "float32" and resolve("bfloat16") == "bfloat16"
    assert describe("float32") == "float32" and describe("bfloat16").startswith("bfloat16 (")


def test_products_are_in_bfloat16_and_norms_and_softmax_in_float32() -> None:
    x = torch.randn(4, 8)
    with computing("bfloat16"):
        product = x @ x.T
        assert product.dtype == torch.bfloat16
        assert torch.nn.functional.layer_norm(product + x @ x.T.float(), (4,)).isfinite().all()
    with computing("float32"):
        assert (x @ x.T).dtype == torch.float32


def test_features_in_bfloat16_are_float32_close_to_the_others(encoder: TextEncoder) -> None:
    ids, mask = encoder.collate(encoder.tokenize(["waves over a boat", "a quiet garden"]))
    full = encoder.encode(ids, mask)
    encoder.precision = "bfloat16"
    half = encoder.encode(ids, mask)
    assert half.dtype == full.dtype == torch.float32
    assert not torch.equal(half, full)
    assert torch.nn.functional.cosine_similarity(half, full).min() > 0.999


def test_image_features_in_bfloat16_are_close_to_the_others() -> None:
    images = create_image_encoder("efficientnet_lite0_stages")
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    full = images.encode(pixels)
    images.precision = "bfloat16"
    half = images.encode(pixels)
    assert half.dtype == torch.float32 and not torch.equal(half, full)
    assert torch.nn.functional.cosine_similarity(half, full).min() > 0.999


def test_a_cache_never_mixes_precisions(encoder: TextEncoder, tmp_path: Path) -> None:
    folders = {}
    for precision in ("float32", "bfloat16", "auto"):
        encoder.precision = precision
        folders[precision] = FeatureCache(tmp_path, encoder).folder
    assert folders["float32"] != folders["bfloat16"]
    assert folders["auto"] == folders[resolve("auto")]
    encoder.precision = "float32"
    first = extract_features(encoder, ["waves"], tmp_path)
    encoder.precision = "bfloat16"
    second = extract_features(encoder, ["waves"], tmp_path)
    assert not np.array_equal(first.values, second.values)


def test_a_cache_never_mixes_vocabularies(encoder: TextEncoder, tmp_path: Path) -> None:
    first = extract_features(encoder, ["waves"], tmp_path)
    vocabulary = encoder.tokenizer.get_vocab()
    order = {token: number for number, token in enumerate(sorted(vocabulary))}
    encoder.tokenizer.model = WordPiece(order, unk_token="[UNK]")
    second = extract_features(encoder, ["waves"], tmp_path)
    assert not np.array_equal(first.values, second.values)


def test_a_saved_model_keeps_its_precision(encoder: TextEncoder, tmp_path: Path) -> None:
    assert "precision" not in encoder.settings()  # folders of before stay as they are
    encoder.precision = "auto"
    assert build_text_encoder(encoder.settings(), None).precision == "auto"
    images = create_image_encoder("efficientnet_lite0")
    images.precision = "bfloat16"
    assert build_image_encoder(images.settings()).precision == "bfloat16"
