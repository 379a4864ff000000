from __future__ import annotations

from pathlib import Path

import pytest
from squishnative.convert import ConvertError
from squishnative.convert.labels import read_labels


def labels(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    return read_labels(path)


def test_a_name_a_line(tmp_path: Path) -> None:
    assert labels(tmp_path, "tench\r\ngreat white shark\nKäfer\n\n") == [
        "tench",
        "great white shark",
        "Käfer",
    ]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert labels(tmp_path, "\ufefftench\ngoldfish\n") == ["tench", "goldfish"]


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    names = ["one\u2028name", "form\x0cfeed", "next\x85line"]
    assert labels(tmp_path, "\n".join(names)) == names


def test_index_id_and_name(tmp_path: Path) -> None:
    assert labels(tmp_path, "0\tn01440764\ttench\n1\tn01443537\tgoldfish\n") == [
        "tench",
        "goldfish",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\tn1\ta\n2\tn2\tb\n", "labels.txt:2: index '2', wanted 1"),
        ("a\n\nb\n", "labels.txt:2: the name is empty"),
        ("0\ta\n", "labels.txt:1: 2 fields"),
        ("\n \n", "no labels"),
        ("", "no labels"),
    ],
)
def test_names_the_line_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        labels(tmp_path, text)


def test_rejects_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("Käfer".encode("latin-1"))
    with pytest.raises(ConvertError, match="UTF-8"):
        read_labels(tmp_path / "labels.txt")
