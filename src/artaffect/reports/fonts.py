"""Which fonts draw the texts of a figure in a file, so that no letter becomes a box."""

from collections.abc import Iterable, Mapping
from functools import cache

_FIRST = "DejaVu Sans"
"""It comes with matplotlib."""
_PREFERRED = (
    "Noto Sans",
    "Noto Naskh",
    "Source Han Sans",
    "PingFang",
    "Microsoft YaHei",
    "WenQuanYi",
)
_UNKNOWN = "?"


def families(texts: Iterable[str]) -> tuple[list[str], frozenset[str]]:
    """The fonts that draw some texts together, and the characters that none of them has.

    Matplotlib takes each character from the first font that has it.
    """
    characters = frozenset(c for text in texts for c in text if not c.isspace())
    return _families(characters)


@cache
def _families(characters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    from matplotlib import font_manager

    chosen = [_FIRST]
    missing = characters - _letters(font_manager.findfont(_FIRST))
    if missing:
        for family, file in _candidates():
            gained = missing & _letters(file)
            if gained:
                chosen.append(family)
                missing -= gained
            if not missing:
                break
    return chosen, missing


@cache
def _candidates() -> list[tuple[str, str]]:
    """The upright fonts of the system, those first that are made for many scripts."""
    from matplotlib import font_manager

    fonts = {
        entry.name: entry.fname
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and entry.name != _FIRST
    }

    def rank(family: str) -> tuple[bool, str]:
        return not family.startswith(_PREFERRED), family

    return [(family, fonts[family]) for family in sorted(fonts, key=rank)]


@cache
def _letters(file: str) -> frozenset[str]:
    from matplotlib import ft2font

    try:
        return frozenset(map(chr, ft2font.FT2Font(file).get_charmap()))
    except (OSError, RuntimeError):  # a file that lists as a font, and is none
        return frozenset()


def drawable(text: str, missing: frozenset[str], english: Mapping[str, str]) -> str:
    """A text without the characters that no font has: English names, or else question marks."""
    if not missing.intersection(text):
        return text
    for name in sorted(english, key=len, reverse=True):
        text = text.replace(name, english[name])
    return "".join(_UNKNOWN if character in missing else character for character in text)
