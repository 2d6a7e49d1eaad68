"""Small untrained encoders, saved to folders as pretrained models are.

``save_resnet``, ``save_vit`` and ``save_bert`` have a few hundred parameters; ``save_tiny_resnet``,
``save_tiny_vgg`` and ``save_tiny_vit`` are small relatives of the paper's image models, large enough
to learn something from images of 64 pixels. ``save_tiny_clip`` and ``save_tiny_siglip`` have a tower for
images and one for texts, as the published models.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetModel,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    ViTConfig,
    ViTModel,
)

from artaffect.models.vgg import Vgg16

TEXTS = [
    "Waves tower over a small boat under a black sky.",
    "تعلو الأمواج فوق قارب صغير تحت سماء سوداء.",
    "黑色的天空下,巨浪高过一条小船。",
]


def save_resnet(folder: Path) -> Path:
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder)
    _save_preprocessing(folder, {"size": {"shortest_edge": 36}, "crop_pct": 0.875, "crop_size": 32})
    return folder


def save_tiny_resnet(folder: Path) -> Path:
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 128], depths=[1, 1, 1], layer_type="basic"
    )
    ResNetModel(config).save_pretrained(folder)
    return _save_64_pixels(folder)


def save_tiny_vit(folder: Path) -> Path:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=192,
        image_size=64,
        patch_size=8,
    )
    ViTModel(config).save_pretrained(folder)
    return _save_64_pixels(folder)


def save_tiny_vgg(folder: Path) -> Path:
    """A VGG-16 of a sixteenth of the width, named as timm names its layers."""
    torch.manual_seed(0)
    published = {"fc1": "pre_logits.fc1", "fc2": "pre_logits.fc2"}
    weights = {}
    for name, value in Vgg16(divisor=16).state_dict().items():
        layer, _, leaf = name.partition(".")
        weights[f"{published.get(layer, layer)}.{leaf}"] = value.contiguous()
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "vgg16"}), "utf-8")
    return _save_64_pixels(folder)


def _save_64_pixels(folder: Path) -> Path:
    rules = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    rules |= {"size": {"height": 64, "width": 64}, "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(rules), "utf-8")
    return folder


def save_vit(folder: Path) -> Path:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config).save_pretrained(folder)
    _save_preprocessing(folder, {"size": {"height": 32, "width": 32}, "resample": 2})
    return folder


_TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
_VISION = {**_TOWER, "image_size": 32, "patch_size": 8}
_TEXT = {**_TOWER, "vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def save_tiny_clip(folder: Path) -> Path:
    """A CLIP whose preprocessing stands in the file of its image processor."""
    torch.manual_seed(0)
    config = CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 36}, crop_size=32).save_pretrained(folder)
    return folder


def save_tiny_siglip(folder: Path) -> Path:
    """A SigLIP, as which SigLIP 2 is published for fixed sizes; its preprocessing stands in the file
    that holds that of images and captions together.
    """
    torch.manual_seed(0)
    SiglipModel(SiglipConfig(text_config=_TEXT, vision_config=_VISION)).save_pretrained(folder)
    processor = SiglipImageProcessor(size={"height": 32, "width": 32}, resample=2)
    both = {"processor_class": "SiglipProcessor", "image_processor": processor.to_dict()}
    (folder / "processor_config.json").write_text(json.dumps(both), "utf-8")
    return folder


_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def _vocabulary() -> dict[str, int]:
    """The words of the texts, and their letters for all others; training one gives another each time."""
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = sorted({word for text in TEXTS for word, _ in split(text)})
    letters = sorted(set("".join(words)))
    pieces = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters), *words]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def save_bert(folder: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.WordPiece(_vocabulary(), unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(_SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def _save_preprocessing(folder: Path, rules: dict[str, object]) -> None:
    rules |= {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (folder / "preprocessor_config.json").write_text(json.dumps(rules), "utf-8")
