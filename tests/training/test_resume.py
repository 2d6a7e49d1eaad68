"""A training that was killed ends with the same weights as one that was not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from artaffect.config import SeparateConfig, TrainConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, OutputError
from artaffect.models.folder import check_folder
from artaffect.models.heads import EmotionHead
from artaffect.outputs import atomic_folder, output_lock
from artaffect.training.batches import Batch, TensorRows
from artaffect.training.objectives import ClassificationTask
from artaffect.training.run import train_run
from artaffect.training.trainer import StepOutput, Trainer
from tests.waiting import wait_until

CONFIG = TrainConfig(epochs=4, batch_size=16, learning_rate=0.02)


def rows(count: int = 200) -> TensorRows:
    features = torch.randn(count, 9, generator=torch.Generator().manual_seed(0))
    culture = torch.zeros(count, dtype=torch.int64)
    return TensorRows(features=features, culture=culture, emotion=features.argmax(1))


def head() -> EmotionHead:
    torch.manual_seed(7)
    return EmotionHead(9, 0, hidden=[8], dropout=0.5)


class Killed(Exception):
    """Raised in place of a kill."""


class Dying(nn.Module):
    """A task that ends the training at a given batch."""

    def __init__(self, task: nn.Module, batch: int) -> None:
        super().__init__()
        self.task, self.left = task, batch

    def forward(self, batch: Batch) -> StepOutput:
        self.left -= 1
        if self.left < 0:
            raise Killed("at this batch")
        output: StepOutput = self.task(batch)
        return output


def train(folder: Path | None, die_at: int = 10**9, config: TrainConfig = CONFIG) -> EmotionHead:
    model = head()
    task = Dying(ClassificationTask(model), die_at)
    Trainer(config, folder=folder, checkpoint_every=3).fit(
        task, rows(), lambda: {"log_loss": loss(model)}
    )
    return model


def loss(model: EmotionHead) -> float:
    """On the training rows, which serve as validation here."""
    data = rows().columns
    with torch.no_grad():
        logits = model(data["features"], data["culture"])
        return nn.functional.cross_entropy(logits, data["emotion"]).item()


@pytest.mark.parametrize("die_at", [1, 5, 13, 14, 30, 51])
@pytest.mark.parametrize("accumulation", [1, 3])
def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path: Path, die_at: int, accumulation: int
) -> None:
    config = TrainConfig(epochs=4, batch_size=16, learning_rate=0.02, accumulation=accumulation)
    whole = train(None, config=config)
    with pytest.raises(Killed, match="at this batch"):
        train(tmp_path, die_at, config)
    again = train(tmp_path, config=config)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    lines = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    first = train(tmp_path)
    again = train(tmp_path, die_at=0)
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(ConfigError, match="other settings: delete it"):
        train(tmp_path, config=TrainConfig(epochs=5, batch_size=16))


def test_a_full_disk_is_named_where_a_library_writes_the_file(small_disk: Path) -> None:
    model = EmotionHead(9, 0, hidden=[20_000])
    with pytest.raises(OSError, match="No space left on device: .*checkpoint"):
        Trainer(CONFIG, folder=small_disk).fit(ClassificationTask(model), rows(16))
    with (
        pytest.raises(OSError, match="No space left on device: .*model"),
        atomic_folder(small_disk / "model", "MARK") as folder,
    ):
        save_file({"x": torch.zeros(100_000)}, folder / "model.safetensors")
    assert not (small_disk / "model").exists()


def test_accumulated_batches_are_one_large_batch() -> None:
    def plain(batch_size: int, accumulation: int) -> EmotionHead:
        torch.manual_seed(7)
        model = EmotionHead(9, 0)
        config = TrainConfig(
            epochs=2, batch_size=batch_size, accumulation=accumulation, gradient_clip=1e9
        )
        Trainer(config).fit(ClassificationTask(model), rows(192))
        return model

    torch.testing.assert_close(
        plain(48, 1).shared.weight, plain(16, 3).shared.weight, rtol=1e-4, atol=1e-6
    )


def test_half_precision_trains() -> None:
    model = EmotionHead(9, 0)
    config = TrainConfig(epochs=8, batch_size=16, learning_rate=0.05, precision="bf16")
    result = Trainer(config).fit(ClassificationTask(model), rows())
    assert result.history[-1]["loss"] < 0.8 * result.history[0]["loss"]
    assert model.shared.weight.dtype == torch.float32


SCRIPT = """
import sys, time, torch
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.training.test_resume import *
class Slow(Dying):
    def forward(self, batch):
        time.sleep(0.02)
        if {waits} and self.left == 10**9 - 40:
            time.sleep(600)  # until it is killed
        return super().forward(batch)
model = head()
Trainer(CONFIG, folder=Path({folder!r}), checkpoint_every=3).fit(
    Slow(ClassificationTask(model), 10**9), rows(), lambda: {{"log_loss": loss(model)}})
torch.save(model.state_dict(), {out!r})
"""


@pytest.mark.slow
def test_kill_minus_nine_changes_nothing(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    checkpoint, out = tmp_path / "c" / "checkpoint.pt", tmp_path / "out.pt"
    codes = [
        SCRIPT.format(root=root, folder=str(checkpoint.parent), out=str(out), waits=waits)
        for waits in (True, False)
    ]
    process = subprocess.Popen([sys.executable, "-c", codes[0]])
    wait_until(lambda: checkpoint.exists() or process.poll() is not None)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.exists() and not out.exists()
    subprocess.run([sys.executable, "-c", codes[1]], check=True)
    resumed = torch.load(tmp_path / "out.pt", weights_only=True)
    whole = train(None).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0)


TWO = """
import sys, torch
sys.path.insert(0, {root!r})
from tests.training.test_resume import *
torch.manual_seed(7)
model = EmotionHead(9, 0)
Trainer(CONFIG).fit(ClassificationTask(model), rows(192))
import os
if os.environ.get("RANK", "0") == "0":
    torch.save(model.state_dict(), {out!r})
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    script = tmp_path / "odd.py"
    code = TWO.format(root=root, out=str(tmp_path / "odd.pt"))
    script.write_text(code.replace("Trainer(CONFIG)", "Trainer(TrainConfig(batch_size=15))"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    process = subprocess.run(
        [*launch, str(script)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert process.returncode != 0
    assert "batch_size = 15 cannot be shared by 2 processes" in process.stderr


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    script = tmp_path / "two.py"
    script.write_text(TWO.format(root=root, out=str(tmp_path / "two.pt")))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    process = subprocess.run(
        [*launch, str(script)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert process.returncode == 0, process.stderr[-2000:]
    torch.manual_seed(7)
    model = EmotionHead(9, 0)
    Trainer(CONFIG).fit(ClassificationTask(model), rows(192))
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    torch.testing.assert_close(
        two["shared.weight"], model.state_dict()["shared.weight"], rtol=1e-4, atol=1e-5
    )


def test_a_training_touches_no_folder_that_is_something_else(
    tiny_run: Path, sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    model = tmp_path / "run.training"  # where the checkpoints of "run" would be kept
    shutil.copytree(tiny_run, model)
    with pytest.raises(ConfigError, match=r"run\.training, .* is something else: choose another"):
        train_run(sample_table, tiny_config, tmp_path / "run")
    check_folder(model)


def test_only_one_training_writes_a_folder(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    messages = []

    def second() -> None:
        with pytest.raises(OutputError, match="is being written by another process") as caught:
            train_run(sample_table, tiny_config, tmp_path / "run")
        messages.append(str(caught.value))

    with output_lock(tmp_path / "run"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(messages) == 1 and list(tmp_path.iterdir()) == []
