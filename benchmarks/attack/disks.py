"""Commands on a disk that fills up: one line that names the output, the older result stays, nothing is lost.

    python -m benchmarks.attack.disks [--steps 6] [--seed 0] [--commands train export ...]

Each command writes into a small disk in memory (which needs root); its caches and temporary files lie
there, too. From no bytes to three times its result are free, so that it cannot finish, or just can. An
older result is in its place. Afterwards there is room, and the same command has to succeed.
"""

import argparse
import contextlib
import hashlib
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests import tiny

_AMPLE = 2**30
_PAGE = 4096
_SETTINGS = (
    *("image.penalty=[0.1]", "image.train.epochs=3", "caption.hidden=[16]"),
    *("caption.train.epochs=3", "fusion.latent=8", "folds=2"),
)


def commands(base: Path) -> dict[str, tuple[str, list[object]]]:
    """The name of the output of each command, and its arguments."""
    data, table, run = base / "data", base / "table.parquet", base / "run"
    images = data / "wikiart"
    collection = ["predict-collection", run, "--images", images, "--overwrite"]
    return {
        "sample": ("data", ["sample", "--paintings", 40, "--overwrite"]),
        "import": (
            "table.parquet",
            ["import", "artelingo", data / "artelingo_release_lite.csv", "--images", images],
        ),
        "split": ("split.parquet", ["split", table]),
        "train": ("run", ["train", "--data", table, "--overwrite", *training(base)]),
        "evaluate": ("scores", ["evaluate", run, "--data", table, "--split", "val"]),
        "report": ("report", ["report", run, "--data", table, "--split", "val"]),
        "explain": ("page.html", ["explain", run, "--image", next(images.rglob("*.jpg"), "")]),
        "collection as Parquet": ("answers.parquet", collection),
        "collection as CSV": ("answers.csv", collection),
        "collection as Excel": ("answers.xlsx", collection),
        "statements": ("statements.jsonl", ["export-annotations", base / "answers.parquet"]),
        "export": ("onnx", ["export", run, "--overwrite"]),
    }


def training(base: Path) -> list[object]:
    """The settings of a small model."""
    encoders = (
        f"image.encoder={base / 'resnet'}",
        f"caption.encoder={base / 'bert'}",
    )
    return [part for setting in (*encoders, *_SETTINGS) for part in ("--set", setting)]


def run(arguments: list[object], disk: Path | None = None) -> tuple[int, str]:
    """The exit code of a command and what it printed; its caches and temporary files are on the disk."""
    environment = dict(os.environ)
    if disk is not None:
        environment |= {"ARTAFFECT_CACHE": str(disk / "cache"), "TMPDIR": str(disk / "tmp")}
    command = [sys.executable, "-m", "artaffect.cli.main", *map(str, arguments)]
    process = subprocess.run(command, env=environment, capture_output=True)
    return process.returncode, (process.stdout + process.stderr).decode("utf-8", "replace")


def must_succeed(arguments: list[object], disk: Path | None = None) -> None:
    code, text = run(arguments, disk)
    if code:
        raise SystemExit(text)


def prepare(base: Path) -> None:
    """The data, the model and the answers that the commands read."""
    tiny.save_resnet(base / "resnet")
    tiny.save_bert(base / "bert")
    must_succeed(["sample", "--paintings", 72, "--out", base / "data"])
    for name in ("import", "train", "collection as Parquet"):
        out, arguments = commands(base)[name]
        must_succeed([*arguments, "--out", base / out])


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A disk in memory."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_AMPLE}", "tmpfs", str(folder)], check=True
    )
    (folder / "tmp").mkdir()
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def resize(disk: Path, free: int) -> None:
    """Let so many bytes be free."""
    state = os.statvfs(disk)
    size = (state.f_blocks - state.f_bfree) * state.f_bsize + max(free, _PAGE)
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def content(out: Path) -> dict[str, str]:
    """The digest of each file of a result."""
    files = [out] if out.is_file() else sorted(path for path in out.rglob("*") if path.is_file())
    return {
        str(path.relative_to(out.parent)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def attempt(arguments: list[object], name: str, free: int, folder: Path) -> list[str]:
    """What happened to a command on a disk with so many free bytes."""
    with mounted(folder) as disk:
        out = disk / name
        must_succeed([*arguments, "--out", out], disk)
        subprocess.run(["rm", "-rf", str(disk / "cache")], check=True)
        older = content(out)
        resize(disk, free)
        code, text = run([*arguments, "--out", out], disk)
        outcomes = [outcome(code, text, disk)]
        if code and content(out) != older:
            outcomes.append("the older result is lost")
        resize(disk, _AMPLE)
        again, later = run([*arguments, "--out", out], disk)
        if again:
            outcomes.append("does not succeed afterwards")
        elif left := [path.name for path in disk.iterdir() if path.name.startswith(".")]:
            outcomes.append("leaves hidden files")
            later = f"{left}"
        if set(outcomes) - {"done", "one line"}:
            print(f"{name}, {free:,} bytes free: {outcomes}\n{text[-2000:]}\n{later[-500:]}")
        return outcomes


def outcome(code: int, text: str, disk: Path) -> str:
    """How a command ended."""
    last = text.strip().splitlines()[-1] if text.strip() else ""
    if code == 0:
        return "done"
    if "Traceback" in text or code < 0:
        return "traceback" if code > 0 else f"signal {-code}"
    if code == 1 and last.startswith("error: ") and str(disk) in last:
        return "one line"
    return "another end"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+")
    options = parser.parse_args()
    generator, faults = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        prepare(base)
        chosen = commands(base)
        for command in options.commands or chosen:
            name, arguments = chosen[command]
            with mounted(base / "disk") as disk:
                must_succeed([*arguments, "--out", disk / name], disk)
                files = [disk / file for file in content(disk / name)]
                size = sum(file.stat().st_size for file in files)
            counts: Counter[str] = Counter()
            for step in range(options.steps):
                share = 0 if step == 0 else generator.uniform(step - 1, step) / (options.steps - 1)
                counts.update(attempt(arguments, name, int(3 * size * share), base / "disk"))
            faults += sum(n for key, n in counts.items() if key not in ("done", "one line"))
            ends = ", ".join(f"{key}: {n}" for key, n in counts.most_common())
            print(f"{command} ({size:,} bytes): {ends}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
