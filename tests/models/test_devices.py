"""Every part of a model computes on the device of its inputs; a mixture is found on a CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from artaffect.config import FusionConfig
from artaffect.models.checkpoint import load_model
from artaffect.models.fusion import FUSION_FORMS, FusionSetup
from artaffect.models.heads import EmotionHead
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.training import objectives as tasks
from tests import tiny
from tests.devices import DeviceError, OneDevice, run_on_one_device, to_meta

ROWS, WIDTH, CULTURES = 6, 8, 2


def all_on_meta(result: Any) -> bool:
    tensors = [x for x in torch.utils._pytree.tree_leaves(result) if isinstance(x, Tensor)]
    return bool(tensors) and all(x.device.type == "meta" for x in tensors)


class Mixing(nn.Module):
    """Creates a tensor where nobody put it, in one of several ways."""

    def __init__(self, how: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(x)


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.zeros(WIDTH),
        lambda x: torch.zeros(ROWS, ROWS) @ x,
        lambda x: torch.cat([x, torch.zeros(1, WIDTH)]),
        lambda x: x[torch.tensor([0, 1])],
        lambda x: nn.functional.embedding(torch.tensor([0, 1]), x),
        lambda x: x.where(torch.ones(ROWS, 1, dtype=torch.bool), x),
    ],
)
def test_a_mixture_of_devices_is_found(mix: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises((DeviceError, RuntimeError), match="device|got tensors on cpu and meta"):
        run_on_one_device(Mixing(mix), torch.randn(ROWS, WIDTH))
    assert mix(torch.randn(ROWS, WIDTH)).device.type == "cpu", "on a CPU nothing is wrong"


SAVERS = {
    "resnet": tiny.save_resnet,
    "vit": tiny.save_tiny_vit,
    "vgg": tiny.save_tiny_vgg,
}


@pytest.mark.parametrize("name", SAVERS)
def test_every_image_encoder_stays_on_one_device(name: str, tmp_path: Path) -> None:
    encoder = create_image_encoder(str(SAVERS[name](tmp_path / name)))
    pixels = torch.randn(2, 3, encoder.preprocessing.size, encoder.preprocessing.size)
    for train in (True, False):
        assert all_on_meta(run_on_one_device(encoder, pixels, train=train))
    assert all_on_meta(run_on_one_device(encoder, pixels, train=False, call=encoder.encode))


def test_the_text_encoder_stays_on_one_device(encoder_folders: dict[str, Path]) -> None:
    encoder = create_text_encoder(str(encoder_folders["bert"]))
    ids, mask = encoder.collate(encoder.tokenize(tiny.TEXTS))
    for train in (True, False):
        assert all_on_meta(run_on_one_device(encoder, ids, mask, train=train))


def head(width: int = WIDTH, **more: Any) -> EmotionHead:
    return EmotionHead(width, CULTURES, **more)


HEADS = {
    "linear": {},
    "hidden": {"hidden": [4], "dropout": 0.5},
    "embedding": {"culture_input": "embedding"},
    "multi-label": {"multi_label": True},
}
FEATURES, CULTURE = torch.randn(ROWS, WIDTH), torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("name", HEADS)
def test_every_head_stays_on_one_device(name: str) -> None:
    made = head(**HEADS[name])  # type: ignore[arg-type]
    assert all_on_meta(run_on_one_device(made, FEATURES, CULTURE))
    logits = run_on_one_device(made, FEATURES, CULTURE, call=made.emotion_logits)
    assert all_on_meta(logits)


def batch() -> dict[str, Any]:
    votes = torch.ones(ROWS, 9)
    emotion = torch.arange(ROWS)
    sources = {"image": torch.randn(ROWS, WIDTH), "caption": torch.randn(ROWS, WIDTH)}
    return {"features": FEATURES, "teacher": torch.randn(ROWS, WIDTH), "votes": votes} | (
        {"culture": CULTURE, "emotion": emotion} | sources
    )


TASKS: dict[str, Callable[[], nn.Module]] = {
    "soft label": lambda: tasks.SoftLabelTask(head(), penalty=0.1, cultures=CULTURES),
    "classification": lambda: tasks.ClassificationTask(head(), penalty=0.1, cultures=CULTURES),
    "l1": lambda: tasks.MultiLabelTask(head(multi_label=True), "l1"),
    "bce": lambda: tasks.MultiLabelTask(head(multi_label=True), "bce"),
    "distillation": lambda: tasks.DistillationTask(
        tasks.ClassificationTask(head(), cultures=CULTURES), WIDTH, head(), (0.5, 0.3, 0.2), 2.0
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_and_its_loss_stay_on_one_device(name: str) -> None:
    for train in (True, False):
        output = run_on_one_device(TASKS[name](), batch(), train=train)
        assert output.loss.device.type == "meta"
        assert all(term.device.type == "meta" for term in output.terms.values())


@pytest.mark.parametrize("form", FUSION_FORMS)
@pytest.mark.parametrize("per_culture", [False, True])
def test_every_fusion_form_stays_on_one_device(form: str, per_culture: bool) -> None:
    widths = {"image": WIDTH, "caption": WIDTH}
    inputs = batch()
    if FUSION_FORMS[form].takes_logits:
        widths = dict.fromkeys(widths, 9)
        inputs |= {name: torch.randn(ROWS, 9) for name in widths}
    fusion = FUSION_FORMS[form].create(
        FusionSetup(FusionConfig(form=form), widths, CULTURES, CULTURES), per_culture
    )
    for train in (True, False):
        task = tasks.FusionTask(fusion, 0.3, CULTURES)
        output = run_on_one_device(task, inputs, train=train)
        assert output.loss.device.type == "meta"
    sources, present, culture = to_meta(
        ([inputs["image"], inputs["caption"]], torch.ones(ROWS, 2, dtype=torch.bool), CULTURE)
    )
    with OneDevice():
        assert fusion.shares(sources, present, culture).device.type == "meta"


def test_a_whole_model_and_joint_training_stay_on_one_device(tiny_run: Path) -> None:
    model = load_model(tiny_run)
    image, text = model.encoders
    assert image is not None and text is not None
    size = image.preprocessing.size
    ids, mask = text.collate(text.tokenize(tiny.TEXTS))
    rows = len(ids)
    inputs = {
        "pixels": torch.randn(2, 3, size, size),
        "artwork": torch.tensor([0, 1, 1]),
        "captions": [(ids, mask)],
        "culture": torch.tensor([0, 1, 2]),
        "emotion": torch.tensor([0, 1, 2]),
    }
    output = run_on_one_device(tasks.JointTask(model, 0.3, 3), inputs)
    assert output.loss.device.type == "meta"
    features = (torch.randn(rows, image.feature_dim), torch.randn(rows, text.feature_dim))
    present = torch.tensor([[True, False], [False, True], [True, True]])
    for calibrated in (True, False):
        answer = run_on_one_device(
            model, *features, present, inputs["culture"], calibrated, train=False
        )
        assert all_on_meta(answer)
