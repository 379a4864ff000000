from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import squishnative
from squishnative import nets
from squishnative.cli.main import app
from squishnative.export import export
from typer.testing import CliRunner


@pytest.fixture
def shipped(net_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a net that comes with the package, for the time of a test."""
    folder = tmp_path / "package"
    folder.mkdir()
    shutil.copy(net_file, folder / "tiny-s.squish")
    (folder / "README.md").write_text("no net", encoding="utf-8")
    monkeypatch.setattr(nets, "_FOLDER", folder)
    return "tiny-s"


def test_a_net_of_the_package_is_loaded_by_its_name(shipped: str, net_file: Path) -> None:
    assert nets.names() == [shipped]
    with squishnative.load(shipped) as ours, squishnative.load(net_file) as same:
        batch = np.zeros((1, *ours.input_shape), np.float32)
        np.testing.assert_array_equal(ours.infer(batch), same.infer(batch))
        assert Path(ours.path).name == "tiny-s.squish"


def test_a_file_of_that_name_is_called_by_a_path(
    shipped: str, net_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(net_file, shipped)
    with squishnative.load(f"./{shipped}") as net:
        assert net.path == str(tmp_path / shipped)
    with squishnative.load(Path(f"package/{shipped}.squish")) as net:
        assert net.path == str(tmp_path / "package" / f"{shipped}.squish")
    with squishnative.load(Path(f"./{shipped}")) as net:
        assert net.path == str(tmp_path / shipped)
    shipped_file = tmp_path / "package" / f"{shipped}.squish"
    shipped_file.write_bytes(b"no net")  # so that whoever takes it for the other fails
    for command in (["inspect", f"./{shipped}"], ["export", f"./{shipped}", "-o", "net.onnx"]):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output


def test_other_names_are_files_that_are_not_there(shipped: str) -> None:
    for name in ("tiny-m", "README", f"{shipped}.squish", "../tiny-s"):
        with pytest.raises(FileNotFoundError, match=name):
            squishnative.load(name)


def test_the_command_line_knows_the_names(shipped: str, tmp_path: Path) -> None:
    listed = CliRunner().invoke(app, ["nets"])
    assert shipped in listed.output
    assert CliRunner().invoke(app, ["inspect", shipped]).exit_code == 0
    export(shipped, tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").stat().st_size > 0


@pytest.mark.parametrize("name", nets.names())
def test_nets_of_the_package_are_whole_and_small(name: str) -> None:
    with squishnative.load(name) as net:
        assert len(net.model.labels) == net.model.classes == 10
        assert net.model.file_bytes < 200e3
        image = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
        (best, *_), *_ = net.predict(list(image), k=1)
        assert best.label in net.model.labels
        assert net.model.about


def test_the_card_has_the_bytes_of_the_files() -> None:
    folder = Path(nets.__file__).parent
    rows = re.findall(
        r"^\| (imagenette-\w) \| ([\d,]+) \|",
        (folder / "README.md").read_text(encoding="utf-8"),
        re.M,
    )
    assert (
        [name for name, _ in rows]
        == nets.names()
        == ["imagenette-l", "imagenette-m", "imagenette-s"]
    )
    for name, size in rows:
        assert f"{(folder / f'{name}.squish').stat().st_size:,}" == size
