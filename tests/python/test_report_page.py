"""The page: which files it may replace, and what stands in its pictures."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from evolution import settings
from squishnative.evolve.individual import Individual
from squishnative.report import page, plots
from squishnative.report.page import write_report
from squishnative.report.summary import Factors, Member, Summary

OLD_PAGE = "<!DOCTYPE html>\n<head>\n<title>digits: a family of SquishedNets</title>\n"
OLD_FIGURES = '{"squishnative": "0.1.0", "runs": []}'


def member(generation: int, size: int, mature: bool = False) -> Member:
    parent = Individual.name_of(generation - (not mature), 0, False)
    individual = Individual(
        generation=generation,
        number=0,
        mature=mature,
        parents=[parent] if generation else [],
        fitness=0.9,
        val_accuracy=0.9 - 0.02 * generation + 0.001 * mature,
        dtype="i4" if mature else "f32",
        bytes={"f32": 10 * size, "i4": size},
        seconds_predicted=1e-3,
        seconds=1e-8 * size,
        storage="i8" if mature else "f32",
        density=1.0,
        densities={"conv1": 1.0, "conv10": 1.0},
        genes={},
        confusion=[[7, 0], [2, 5]],
    )
    return Member(individual, 1000, 1000, Factors(1.0, 1.0, 1.0, 1.0))


def family(*members: Member) -> Summary:
    asked = settings(Path("data"), Path("net.squish"), dtype="i4")
    return Summary("digits", asked, "avx2, 1 thread", ["a", "b"], (32, 32), list(members))


FAMILY = family(
    member(0, 290_000),
    member(1, 24_000),
    member(2, 12_000),
    member(1, 24_000, mature=True),
    member(2, 12_000, mature=True),
)


def texts(svg: str) -> list[str]:
    return re.findall(r">([^<>\n]+)</text>", svg)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that comes to FAMILY."""
    monkeypatch.setattr(page, "summarise", lambda _: FAMILY)
    return Path("digits")


class TestFilesThatAreThere:
    @pytest.mark.parametrize("name", ["settings", "environment"])
    def test_a_runs_own_files_stay(self, run: Path, tmp_path: Path, name: str) -> None:
        own = tmp_path / f"{name}.json"
        own.write_text('{"format": 6, "squishnative": "0.1.0"}', encoding="utf-8")
        with pytest.raises(FileExistsError, match=r"figures.*wanted") as refused:
            write_report([run], tmp_path / f"{name}.html")
        assert refused.value.filename == str(own)
        assert [file.read_text(encoding="utf-8") for file in tmp_path.iterdir()] == [
            '{"format": 6, "squishnative": "0.1.0"}'
        ]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("page.html", "<title>mine</title>"),
            ("page.html", ""),
            ("page.json", '{"runs": 3}'),
            ("page.json", '["squishnative", "runs"]'),
            ("page.json", "{"),
            ("page.json", "\xff"),
        ],
    )
    def test_a_users_stay(self, run: Path, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / name).write_text(text, encoding="latin-1")
        with pytest.raises(FileExistsError, match="earlier report"):
            write_report([run], tmp_path / "page.html")
        assert [file.name for file in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).read_text(encoding="latin-1") == text

    @pytest.mark.parametrize("folder", ["page", "page.json"])
    def test_folders_stay(self, run: Path, tmp_path: Path, folder: str) -> None:
        (tmp_path / folder).mkdir()
        with pytest.raises(IsADirectoryError, match="a folder is there: wanted") as refused:
            write_report([run], tmp_path / "page")
        assert refused.value.filename == str(tmp_path / folder)
        assert [file.name for file in tmp_path.iterdir()] == [folder]

    def test_earlier_reports_are_replaced(self, run: Path, tmp_path: Path) -> None:
        output = tmp_path / "page.html"
        output.write_text(OLD_PAGE, encoding="utf-8")
        output.with_suffix(".json").write_text(OLD_FIGURES, encoding="utf-8")
        for _ in range(2):  # an older version's, then this one's
            assert write_report([run], output) == [output, output.with_suffix(".json")]
            assert '<meta name="generator" content="squishnative report">' in output.read_text(
                encoding="utf-8"
            )
            assert json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))["runs"] == [
                json.loads(json.dumps(FAMILY.to_dict()))
            ]


class TestPictures:
    def test_sizes_and_times_have_readable_ticks(self) -> None:
        sizes = texts(plots.accuracy_over_bytes([FAMILY]))
        assert {"10 kB", "20 kB", "50 kB", "100 kB", "1 MB", "2 MB"} <= set(sizes)
        times = texts(plots.accuracy_over_latency([FAMILY]))
        assert {"200 µs", "500 µs", "1 ms", "2 ms", "5 ms"} <= set(times)
        assert "SquishedNets paper, Jetson TX1 GPU" in times

    @pytest.mark.parametrize("generations", [1, 2, 3, 12])
    def test_generations_are_whole(self, generations: int) -> None:
        tree = plots.family_tree(family(*(member(k, 1000) for k in range(generations))))
        axis = texts(tree)[: texts(tree).index("generation")]
        assert axis[0] == "0"
        assert all(text.isdecimal() for text in axis)

    def test_the_tree_has_sizes_of_one_type(self) -> None:
        labels = [text for text in texts(plots.family_tree(FAMILY)) if "kB" in text]
        assert sorted(labels) == ["12 kB", "12 kB", "24 kB", "24 kB", "290 kB"]

    def test_what_every_shipped_net_confuses(self) -> None:
        shown = re.findall(r"<details(.*)>\n<summary>(.*?):", page.render([FAMILY]))
        assert shown == [
            (" open", "family/generation-02-member-0"),
            ("", "family/generation-01-member-0"),
        ]
        assert [n for n in texts(plots.confusion(FAMILY.members[0], "ab")) if n.isdecimal()] == [
            "7",
            "2",
            "5",
        ]


class TestFamily:
    def test_says_what_each_net_was_computed_in(self) -> None:
        table = page.render([FAMILY]).partition("</table>")[0]
        rows = re.findall(r"<tr><td>(?:generation|family)[\s\S]*?</tr>", table)
        assert ["<td>i8</td>" in row for row in rows] == [False, True, True]
        assert ["<td>f32</td>" in row for row in rows] == [True, False, False]

    def test_times_of_young_nets_are_those_of_what_would_be_shipped(self) -> None:
        young = page.render([family(*FAMILY.members[:3])])
        assert "of the others it is that of the net as it would be shipped" in young
        assert "as it would be shipped" not in page.render([FAMILY])


class TestBeaten:
    """Nets that nobody needs, as another one is nowhere worse."""

    def test_by_one_that_is_better_somewhere(self) -> None:
        small, large = FAMILY.members[4], FAMILY.members[3]
        better = replace(small.individual, number=1, val_accuracy=large.individual.val_accuracy)
        found = family(*FAMILY.members, replace(small, individual=better))
        assert found.beaten_by(large) == "family/generation-02-member-1"
        assert found.beaten_by(small) == "family/generation-02-member-1"
        assert found.beaten_by(found.members[-1]) is None
        beaten = [bool(m["beaten_by"]) for m in found.to_dict()["members"]]
        assert beaten == [False, False, False, True, True, False]

    def test_not_by_one_that_is_worse_somewhere_or_equal(self) -> None:
        assert [FAMILY.beaten_by(m) for m in FAMILY.shown] == [None] * 3
        twin = replace(
            FAMILY.members[4], individual=replace(FAMILY.members[4].individual, number=1)
        )
        assert family(*FAMILY.members, twin).beaten_by(FAMILY.members[4]) is None
