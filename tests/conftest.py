"""Fixtures that several folders share. Nothing here reaches for a network."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: one thread each
    os.environ["OMP_NUM_THREADS"] = "1"

import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artaffect.cli.main import main
from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.data.readers.artelingo import read_artelingo
from artaffect.data.sample.write import write_sample
from artaffect.training.run import train_run
from tests import tiny

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a script starts its background jobs like that, and the commands under test would ignore interrupts, too
    signal.signal(signal.SIGINT, signal.default_int_handler)

Command = Callable[..., tuple[int, str, str]]
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One feature cache for the session, which its worker processes share."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["ARTAFFECT_CACHE"] = str(folder / "cache")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real captions and paintings, where they lie beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy-two synthetic paintings with their captions."""
    folder = tmp_path_factory.mktemp("sample") / "data"
    write_sample(folder, artworks=72)
    return folder


@pytest.fixture(scope="session")
def sample_table(sample_folder: Path) -> AnnotationTable:
    return read_artelingo(sample_folder / "artelingo_release_lite.csv", sample_folder / "wikiart")


@pytest.fixture(scope="session")
def encoder_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models in folders: ``resnet``, ``vit``, ``bert``."""
    root = tmp_path_factory.mktemp("encoders")
    return {
        "resnet": tiny.save_resnet(root / "resnet"),
        "vit": tiny.save_vit(root / "vit"),
        "bert": tiny.save_bert(root / "bert"),
    }


@pytest.fixture(scope="session")
def tiny_config(encoder_folders: dict[str, Path]) -> SeparateConfig:
    """The compact recipe, with tiny encoders and few epochs."""
    return load_recipe(
        "compact",
        SeparateConfig,
        [
            f"image.encoder={encoder_folders['resnet']}",
            f"caption.encoder={encoder_folders['bert']}",
            "image.penalty=[0.1]",
            "image.train.epochs=4",
            "caption.hidden=[16]",
            "caption.train.epochs=3",
            "caption.train.min_steps=0",
            "fusion.latent=8",
            "fusion.features.epochs=2",
            "folds=2",
        ],
    )


@pytest.fixture(scope="session")
def tiny_settings(encoder_folders: dict[str, Path]) -> list[str]:
    """Settings of the command `train` for a small model with tiny encoders."""
    settings = [
        f"image.encoder={encoder_folders['vit']}",
        f"caption.encoder={encoder_folders['bert']}",
        "image.penalty=[0.1]",
        "image.train.epochs=3",
        "caption.train.epochs=2",
        "caption.train.min_steps=0",
        "caption.hidden=[8]",
        "fusion.form=logits",
        "folds=2",
    ]
    return [part for setting in settings for part in ("--set", setting)]


@pytest.fixture(scope="session")
def tiny_run(
    tmp_path_factory: pytest.TempPathFactory,
    sample_table: AnnotationTable,
    tiny_config: SeparateConfig,
) -> Path:
    """A model folder trained with tiny encoders."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    train_run(sample_table, tiny_config, run)
    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small JPEG."""
    path = tmp_path / "picture.jpg"
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def log_messages() -> Iterator[list[str]]:
    """What the package logs during a test, however the log is set up."""
    messages: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger = logging.getLogger("artaffect")
    before = (logger.level, logger.handlers, logger.propagate)
    logger.level, logger.handlers, logger.propagate = logging.INFO, [Collecting()], False
    yield messages
    logger.level, logger.handlers, logger.propagate = before


@pytest.fixture
def artaffect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["artaffect", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as exit:
            code = exit.code
        out, err = capsys.readouterr()
        if isinstance(code, str):  # what the interpreter prints on its way out
            return 1, out, err + code
        return int(code or 0), out, err

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB, mounted in a folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
