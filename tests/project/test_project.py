"""What holds of the project as a whole: imports, names, docs, recipes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import artaffect
from artaffect.cli.main import app
from artaffect.config import (
    JointConfig,
    Recipe,
    SeparateConfig,
    load_recipe,
    recipe_names,
)
from artaffect.errors import ConfigError, UnknownNameError
from artaffect.settings import parse_config
from docs.tools.reference import PAGES, commands_page

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "src" / "artaffect").rglob("*.py"))


def in_a_new_process(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_importing_and_asking_for_help_load_nothing_heavy() -> None:
    heavy = "[m for m in ('torch', 'pyarrow', 'transformers', 'numpy') if m in sys.modules]"
    assert in_a_new_process(f"import sys, artaffect; print({heavy})").strip() == "[]"
    code = f"""
import sys
from artaffect.cli.main import main
sys.argv = ['artaffect', '--help']
try: main()
except SystemExit: pass
print({heavy})"""
    assert in_a_new_process(code).strip().splitlines()[-1] == "[]"


def test_public_names_are_sorted_and_there() -> None:
    assert artaffect.__all__ == sorted(artaffect.__all__, key=str.casefold)
    for name in artaffect.__all__:
        assert getattr(artaffect, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        artaffect.nonsense  # noqa: B018


def test_modules_are_small() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert max(lengths.values()) <= 400, max(lengths, key=lambda p: lengths[p])
    assert sorted(lengths.values())[len(lengths) // 2] < 200


def test_subpackages_have_empty_inits_and_no_catch_alls() -> None:
    for path in MODULES:
        if path.name == "__init__.py" and path.parent.name != "artaffect":
            assert path.read_text() == "", path
        assert path.stem not in ("utils", "helpers", "common", "misc")


def commands() -> dict[str, object]:
    group = typer.main.get_command(app)
    by_name = {}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        nested = getattr(command, "commands", None)
        if nested:
            by_name |= {f"{name} {child}": part for child, part in nested.items()}
        else:
            by_name[name] = command
    return by_name


def test_the_reference_pages_are_what_the_program_says() -> None:
    docs = ROOT / "docs"
    hint = "run `python -m docs.tools.reference docs`"
    for name, page in PAGES.items():
        assert (docs / name).read_text("utf-8") == page(), f"{name}: {hint}"
    for name in commands():
        assert f"## {name}\n" in commands_page()


def shell_lines() -> list[tuple[str, str]]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    lines = []
    for page in pages:
        for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", page.read_text("utf-8"), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("artaffect "):
                    lines.append((page.name, line))
    return lines


def test_commands_in_the_docs_are_spelled_as_the_program_has_them() -> None:
    known = commands()
    lines = shell_lines()
    assert len(lines) >= 8
    for page, line in lines:
        words = line.partition("  #")[0].split()[1:]
        if words[0].startswith("--"):
            continue
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert name in known, f"{page}: {line}"
        options = {o for p in known[name].params for o in p.opts}  # type: ignore[attr-defined]
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options | {"--help"}, f"{page}: {line}"


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reliability.md"])
def test_every_promise_names_tests_that_exist(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    tables = re.findall(r"^\| promise \| test \|\n\| --- \| --- \|\n((?:\|.*\n)+)", text, re.M)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) >= 20
    for row in rows:
        names = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert names, row
        for file, name in names:
            assert f"def {name}(" in (ROOT / file).read_text("utf-8"), row


def test_every_recipe_loads_and_some_are_found() -> None:
    assert "compact" in recipe_names()
    own = (ROOT / "tests" / "recipes").glob("*.toml")
    for name in [*recipe_names(), *map(str, own)]:
        load_recipe(name, Recipe)


def test_settings_are_strict(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'compact'"):
        load_recipe("compct", SeparateConfig)
    for override, message in (
        ("caption.hiden=3", r"unknown key caption.hiden \(did you mean caption.hidden\?\)"),
        ("fusion.form=magic", r"fusion.form: Input should be 'auto', 'logits' or 'features'"),
        (
            "caption.train.epochs=0",
            r"caption.train.epochs: Input should be greater than or equal to 1, got 0",
        ),
        ("caption.dropout=1.5", r"caption.dropout: Input should be less than 1, got 1.5"),
        ("caption.train.epochs=many", "valid integer"),
        ("nonsense", "key.path=value"),
        ("seed.x=1", "seed holds a value"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_recipe("compact", SeparateConfig, [override])
    with pytest.raises(ConfigError, match=r"image: Field required"):
        parse_config({}, JointConfig, "nothing")
    with pytest.raises(ConfigError, match=r"nothing: a recipe needs a section \[image\]"):
        parse_config({}, SeparateConfig, "nothing")
    (tmp_path / "bad.toml").write_text("a = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(str(tmp_path / "bad.toml"), SeparateConfig)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(str(tmp_path / "none.toml"), SeparateConfig)


def test_settings_that_a_source_does_not_use_are_refused() -> None:
    for recipe, override, message in (
        ("compact", "image.crop=0.8", "image: training = 'frozen' does not use crop"),
        ("compact", "caption.layers=2", "caption: training = 'frozen' does not use layers"),
        ("tune-e5", "caption.penalty=[0.1]", "training = 'fine-tuned' does not use penalty"),
        ("tune-e5", "caption.layers=none", "training = 'frozen' trains no layer of an encoder"),
        ("compact", "held_out=0.1", "held_out needs a fine-tuned source"),
        ("tune-e5-fusion", "held_out=0", "no unseen artworks to fit a combination of logits on"),
        ("joint", "image.training=frozen", "does not use layers, crop, decoded"),
        ("joint", "caption.freeze_embeddings=false", None),
        ("joint", "fusion.form=auto", "joint training needs fusion.form"),
        ("distill-e5", "hard=-1", "hard: Input should be greater than or equal to 0"),
    ):
        if message is None:
            assert load_recipe(recipe, Recipe, [override]).kind == recipe
            continue
        with pytest.raises(ConfigError, match=message):
            load_recipe(recipe, Recipe, [override])
    plain = ["caption.training=frozen", "caption.freeze_embeddings=false"]
    with pytest.raises(ConfigError, match="caption.training must be 'fine-tuned'"):
        load_recipe("joint", Recipe, plain)


def test_overrides_and_own_files_are_taken(tmp_path: Path) -> None:
    config = load_recipe(
        "compact", SeparateConfig, ["caption.train.epochs=3", "fusion.form=logits"]
    )
    assert (config.caption.train.epochs, config.fusion.form) == (3, "logits")
    own = tmp_path / "own.toml"
    own.write_text('[image]\nencoder = "resnet50"\n[caption]\nencoder = "xlm-roberta-base"\n')
    assert load_recipe(str(own), SeparateConfig).image.encoder == "resnet50"


def test_the_constraints_pin_torch_without_torchvision() -> None:
    text = (ROOT / "constraints.txt").read_text("utf-8")
    assert "\ntorch==2.13.0\n" in text
    assert "torchvision" not in text
