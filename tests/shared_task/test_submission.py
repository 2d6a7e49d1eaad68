"""A submission is complete and well formed, or it is refused with one clear line."""

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from artaffect.errors import ConfigError, SubmissionError, TableError
from artaffect.shared_task.items import (
    EmotionItems,
    ShareItems,
    read_emotion_items,
    read_share_items,
)
from artaffect.shared_task.rules import SharedTaskRules, load_rules
from artaffect.shared_task.submissions import (
    check_emotions,
    check_shares,
    write_emotions,
    write_shares,
)

RULES = SharedTaskRules()
ITEMS = EmotionItems(["st1_0", "st1_1"], ["s/a.jpg", "s/b.jpg"], ["Thai", "Igbo"], ["x", "y"])
TRIPLES = ShareItems(
    np.array(["a", "a"], object),
    np.array(["Thai", "Igbo"], object),
    np.array([0.2, 0.4]),
    np.array(["Igbo", "Thai"], object),
)
TEXT = "id,label\nst1_0,awe\nst1_1,fear\n"
BOTH = "id,label\nst1_0,awe\nst1_1,awe\n"
SHARES = "painting,source_language,target_language,p_positive\na,Thai,Igbo,0.5\na,Igbo,Thai,1\n"


def make(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/") + ".csv", text)
    return path


def test_a_written_submission_can_be_read(tmp_path: Path) -> None:
    write_emotions(tmp_path / "one.zip", ITEMS, ["awe", "fear"], ["awe", "anger"], RULES)
    assert check_emotions(tmp_path / "one.zip", ITEMS, RULES) == {
        "predictions_text.csv": ["awe", "fear"],
        "predictions_multimodal.csv": ["awe", "anger"],
    }
    write_shares(tmp_path / "two.zip", TRIPLES, np.array([0.25, 1.0]), RULES)
    assert check_shares(tmp_path / "two.zip", TRIPLES, RULES).tolist() == [0.25, 1.0]
    with zipfile.ZipFile(tmp_path / "two.zip") as archive:
        assert archive.namelist() == ["predictions.csv"]
        first = archive.read("predictions.csv").decode().splitlines()[0]
    assert first == "painting,source_language,target_language,p_positive"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (TEXT.replace("st1_1,fear\n", ""), r"1 ids missing \(first: st1_1\)"),
        (TEXT + "st1_1,awe\n", r"1 ids repeated \(first: st1_1\)"),
        (TEXT.replace("st1_1", "st1_7"), r"1 ids missing .*1 ids unknown \(first: st1_7\)"),
        (TEXT.replace("fear", "joy"), r"line 3: unknown label 'joy'; allowed: amusement"),
        (TEXT.replace("fear", "something else"), "unknown label 'something else'"),
        (TEXT.replace("id,label", "label,id"), "the header must be id,label, got label,id"),
        (TEXT.replace("st1_0,awe", "st1_0,awe,1"), "line 2: 3 cells instead of 2"),
        ("", "the header must be id,label, got nothing"),
        (BOTH, "both files have the same label for all 2 items; the organisers exclude"),
    ],
)
def test_a_file_of_labels_with_a_fault_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = make(tmp_path / "s.zip", predictions_text=text, predictions_multimodal=BOTH)
    with pytest.raises(SubmissionError, match=fault):
        check_emotions(path, ITEMS, RULES)


def test_both_files_must_be_at_the_top_level(tmp_path: Path) -> None:
    path = make(tmp_path / "s.zip", predictions_text=TEXT, run__predictions_multimodal=BOTH)
    with pytest.raises(SubmissionError, match=r"missing predictions_multimodal.csv \(run/pred"):
        check_emotions(path, ITEMS, RULES)
    (tmp_path / "no.zip").write_text("no zip")
    with pytest.raises(SubmissionError, match=r"no.zip is not a zip of CSV files"):
        check_emotions(tmp_path / "no.zip", ITEMS, RULES)
    with pytest.raises(SubmissionError, match="gone.zip: no such file"):
        check_emotions(tmp_path / "gone.zip", ITEMS, RULES)


def altered(path: Path, local: int, central: int, value: bytes) -> Path:
    """The zip with bytes of the first member's local and central header changed."""
    data = bytearray(path.read_bytes())
    start = data.find(b"PK\x01\x02")
    data[local : local + len(value)] = value
    data[start + central : start + central + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("local", "central", "value", "reason"),
    [
        (6, 8, b"\x01\x00", "encrypted"),
        (8, 10, b"\x09\x00", "compression"),  # deflate64
        (8, 10, b"\x63\x00", "compression"),  # AES
        (8, 10, b"\x08\x00", ""),  # stored bytes that claim to be deflated
        (8, 10, b"\x0e\x00", ""),  # LZMA
        (8, 10, b"\x0c\x00", ""),  # bzip2
        (14, 16, b"\xff\xff\xff\xff", "CRC"),
    ],
)
def test_a_zip_that_cannot_be_unpacked_is_told_in_one_line(
    tmp_path: Path, local: int, central: int, value: bytes, reason: str
) -> None:
    path = make(tmp_path / "s.zip", predictions_text=TEXT, predictions_multimodal=BOTH)
    message = rf"^s\.zip is not a zip of CSV files in UTF-8: .*{reason}"
    with pytest.raises(SubmissionError, match=message):
        check_emotions(altered(path, local, central, value), ITEMS, RULES)


def test_a_zip_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("predictions_text.csv", "predictions_multimodal.csv"):
            archive.writestr(name, bytes(65 << 20))
    with pytest.raises(SubmissionError, match=r"bomb\.zip: .* is larger than 64 MiB"):
        check_emotions(path, ITEMS, RULES)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_cannot_be_unpacked_within_a_bound_is_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in ("predictions_text.csv", "predictions_multimodal.csv"):
            archive.writestr(name, bytes(16 << 20))
    tracemalloc.start()
    with pytest.raises(SubmissionError, match=rf"is not deflate but method {method}"):
        check_emotions(path, ITEMS, RULES)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_zip_whose_header_claims_less_than_it_holds_is_bounded_all_the_same(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("predictions_text.csv", "predictions_multimodal.csv"):
            archive.writestr(name, bytes(65 << 20))
    for claim in (b"\x10\0\0\0", b"\xff\xff\xff\x7f"):
        altered(path, 22, 24, claim)
        with pytest.raises(SubmissionError, match="is larger than 64 MiB|not a zip of CSV files"):
            check_emotions(path, ITEMS, RULES)


def test_a_zip_of_many_members_is_refused_before_they_are_listed(tmp_path: Path) -> None:
    files = {f"extra{i}": "" for i in range(101)}
    path = make(tmp_path / "s.zip", predictions_text=TEXT, predictions_multimodal=BOTH, **files)
    with pytest.raises(SubmissionError, match=r"s\.zip has 103 members; allowed: 100"):
        check_emotions(path, ITEMS, RULES)
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")  # whose counts say that there are two
    path.write_bytes(data[: end + 8] + b"\2\0\2\0" + data[end + 12 :])
    with pytest.raises(SubmissionError, match="has 103 members"):
        check_emotions(path, ITEMS, RULES)


def test_a_zip_that_is_no_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.zip").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SubmissionError, match=r"large\.zip is larger than 64 MiB"):
        check_emotions(tmp_path / "large.zip", ITEMS, RULES)
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(SubmissionError, match=f"^{path}: not a file"):
            check_emotions(path, ITEMS, RULES)


def test_a_file_with_far_more_lines_than_items_is_not_parsed(tmp_path: Path) -> None:
    text = TEXT + "x,awe\n" * 2000
    path = make(tmp_path / "s.zip", predictions_text=text, predictions_multimodal=BOTH)
    with pytest.raises(SubmissionError, match="predictions_text.csv: 2,003 lines for 2 ids"):
        check_emotions(path, ITEMS, RULES)


def test_a_message_quotes_no_more_than_the_beginning_of_a_cell(tmp_path: Path) -> None:
    long = "x" * 100_000
    for text in (TEXT.replace("fear", long), TEXT.replace("st1_1", long), f"{long},{TEXT}"):
        path = make(tmp_path / "s.zip", predictions_text=text, predictions_multimodal=BOTH)
        with pytest.raises(SubmissionError, match="xxx…") as caught:
            check_emotions(path, ITEMS, RULES)
        assert len(str(caught.value)) < 1000


def test_names_that_begin_like_a_formula_keep_their_form_in_files_that_are_read_back(
    tmp_path: Path,
) -> None:
    items = ShareItems(
        np.array(["=1+1"], object),
        np.array(["@a"], object),
        np.array([0.2]),
        np.array(["-b"], object),
    )
    write_shares(tmp_path / "two.zip", items, np.array([0.25]), RULES)
    assert check_shares(tmp_path / "two.zip", items, RULES).tolist() == [0.25]


def test_a_zip_that_holds_a_file_twice_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "s.zip", predictions_text=TEXT, predictions_multimodal=BOTH)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("predictions_text.csv", BOTH)
    with pytest.raises(SubmissionError, match=r"s\.zip holds predictions_text\.csv 2 times"):
        check_emotions(path, ITEMS, RULES)


def test_line_ends_may_be_those_of_any_system(tmp_path: Path) -> None:
    for end in ("\r", "\r\n"):
        text, both = TEXT.replace("\n", end), BOTH.replace("\n", end)
        path = make(tmp_path / "s.zip", predictions_text=text, predictions_multimodal=both)
        assert len(check_emotions(path, ITEMS, RULES)) == 2


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            SHARES.replace("0.5", "1.2"),
            "line 2: column p_positive must be a number from 0 to 1, got '1.2'",
        ),
        (SHARES.replace("0.5", "nan"), "must be a number from 0 to 1, got 'nan'"),
        (SHARES.replace("0.5", "high"), "must be a number from 0 to 1, got 'high'"),
        (SHARES.replace("a,Igbo,Thai,1\n", ""), r"1 triples missing \(first: a, Igbo, Thai\)"),
        (SHARES + "a,Igbo,Thai,0\n", "1 triples repeated"),
        (SHARES.replace("a,Igbo,Thai", "b,Igbo,Thai"), "1 triples unknown"),
        (SHARES.replace("p_positive", "share"), "the header must be painting,source_language"),
    ],
)
def test_a_file_of_shares_with_a_fault_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SubmissionError, match=fault):
        check_shares(make(tmp_path / "s.zip", predictions=text), TRIPLES, RULES)


def test_a_submission_with_a_fault_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match=r"x.zip: .*from 0 to 1"):
        write_shares(tmp_path / "x.zip", TRIPLES, np.array([0.5, 1.5]), RULES)
    assert not list(tmp_path.iterdir())


def test_the_older_rules_allow_digits_as_labels(tmp_path: Path) -> None:
    rules = SharedTaskRules(labels="sentiment")
    path = make(
        tmp_path / "s.zip",
        predictions_text="id,label\nst1_0,1\nst1_1,0\n",
        predictions_multimodal="id,label\nst1_0,positive\nst1_1,positive\n",
    )
    labels = check_emotions(path, ITEMS, rules)
    assert labels["predictions_text.csv"] == ["positive", "negative"]


def test_a_fault_in_a_task_file_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text("image_name,language,caption\ns/a.jpg,Thai,one\ns/b.jpg,Igbo,two\n")
    assert read_emotion_items(file, RULES).ids == ["st1_000000", "st1_000001"]
    file.write_text("image_name,language,caption\ns/a.jpg,Thai,\n")
    with pytest.raises(TableError, match="line 2: column caption is empty"):
        read_emotion_items(file, RULES)
    file.write_text("id,image_name,language,caption\n1,s/a.jpg,Thai,x\n1,s/a.jpg,Thai,y\n")
    with pytest.raises(TableError, match="line 3: id '1' repeats line 2"):
        read_emotion_items(file, RULES)
    file.write_text("painting,source_language,source_p_positive,target_language\na,Thai,1.5,Igbo\n")
    with pytest.raises(
        TableError, match="line 2: column source_p_positive must be a number from 0"
    ):
        read_share_items(file, RULES)
    file.write_text("painting,source_language\na,Thai\n")
    with pytest.raises(TableError, match="; missing target_language, source_p_positive"):
        read_share_items(file, RULES)
    header = "painting,source_language,source_p_positive,target_language\n"
    file.write_text(header + "a,Thai,0.5,Igbo\n\na,Thai,0.6,Igbo\n")
    with pytest.raises(TableError, match="line 4: .* 'a, Thai, Igbo' repeats line 2"):
        read_share_items(file, RULES)
    file.write_text(header + "a,Thai,0.5\n")
    with pytest.raises(TableError, match="line 2: 3 cells instead of 4"):
        read_share_items(file, RULES)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(TableError, match="cannot be read as CSV in UTF-8"):
        read_share_items(file, RULES)
    with pytest.raises(TableError, match="gone.csv cannot be read: No such file"):
        read_share_items(tmp_path / "gone.csv", RULES)


def test_rules_can_be_changed_by_a_file_and_by_overrides(tmp_path: Path) -> None:
    changed = tmp_path / "rules.toml"
    changed.write_text('labels = "sentiment"\nshare_file = "st2.csv"\n')
    rules = load_rules(changed, ["min_annotators=7"])
    assert (list(rules.label_emotions), rules.share_file) == (["positive", "negative"], "st2.csv")
    assert rules.min_annotators == 7
    with pytest.raises(ConfigError, match=r"unknown key shares_file \(did you mean share_file\?\)"):
        load_rules(None, ["shares_file=x"])
    for override, message in (
        ('negative=["awe"]', "must name emotions, and none twice"),
        ('negative=["joy"]', "unknown emotion 'joy' in positive or negative"),
        ("min_annotators=0", "min_annotators: Input should be greater than or equal to 1"),
        ("absent_labels=drop", "absent_labels: Input should be 'skip' or 'zero'"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_rules(None, [override])
    with pytest.raises(ValueError, match="unexpected keyword argument|Unexpected keyword argument"):
        SharedTaskRules(share="x")  # type: ignore[call-arg]
