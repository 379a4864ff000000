"""The command line as a shell sees it: output, exit codes, and one line for what went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import squishnative
from PIL import Image
from squishnative.cli.infer import classify
from squishnative.cli.main import app, main
from squishnative.convert import read
from tiny_net import CLASSES, LABELS, SIZE, pixels, tiny_spec
from typer.testing import CliRunner

COMMANDS = (
    "convert",
    "export",
    "infer",
    "inspect",
    "bench",
    "demo",
    "train",
    "evolve",
    "quantise",
    "report",
    "nets",
)


def squish(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "squishnative", *map(str, arguments)]
    environ = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environ)


def succeed(*arguments: object) -> str:
    done = squish(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos, one of them in a folder below, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for name, image in zip(("a.png", "b.JPG", "below/c.png"), pixels(3, size=40)):
        Image.fromarray(image).save(folder / name, "PNG")
    (folder / "notes.txt").write_text("no photo", encoding="utf-8")
    return folder


# infer


def test_infer_prints_the_labels_of_each_photo(net_file: Path, photos: Path) -> None:
    lines = succeed("infer", net_file, photos, "-k", 2).splitlines()
    assert len(lines) == 3 * 3
    assert lines[0] == str(photos / "a.png")
    assert lines[1].split("%")[1].strip() in LABELS


def test_infer_json_holds_what_predict_says(net_file: Path, photos: Path) -> None:
    lines = succeed("infer", net_file, photos, "--json", "--batch", 2, "-k", 3).splitlines()
    files = [photos / name for name in ("a.png", "b.JPG", "below/c.png")]
    with squishnative.load(net_file) as net:
        for line, file, predictions in zip(lines, files, net.predict(files, k=3)):
            entry = json.loads(line)
            assert entry["file"] == str(file)
            assert [p["label"] for p in entry["predictions"]] == [p.label for p in predictions]
            assert [p["probability"] for p in entry["predictions"]] == [
                p.probability for p in predictions
            ]
    assert len(lines) == 3


def test_infer_skips_broken_photos_and_fails_at_the_end(net_file: Path, photos: Path) -> None:
    broken = photos / "aa.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = squish("infer", net_file, photos, photos / "none.png", "--json", "-k", 1)
    assert done.returncode == 1
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in entry for entry in entries] == [False, True, False, False, True]
    first, second = done.stderr.splitlines()
    assert first.startswith(f"squish: skipped '{broken}': no image")
    assert second == f"squish: skipped '{photos / 'none.png'}': No such file or directory"


def test_infer_takes_the_same_photo_twice(net_file: Path, photos: Path) -> None:
    one, two = succeed("infer", net_file, *[photos / "a.png"] * 2, "--json").splitlines()
    assert one == two


def test_a_folder_without_photos_is_an_error(net_file: Path, tmp_path: Path) -> None:
    done = squish("infer", net_file, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"squish: error: '{tmp_path}': a folder without photos\n"


def test_an_empty_argument_is_no_folder(net_file: Path) -> None:
    for arguments in (("infer", net_file, ""), ("infer", "", "photo.jpg"), ("inspect", "")):
        done = squish(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert "''" in done.stderr


def test_folders_give_photos_only(net_file: Path, photos: Path) -> None:
    """Not what Pillow reads besides or systems leave, and no folder named like a photo."""
    (photos / "._a.png").write_bytes(b"of a Mac")
    (photos / "__MACOSX").mkdir()
    (photos / "__MACOSX" / "a.png").write_bytes(b"of a Mac")
    for name in ("paper.pdf", "drawing.eps", "film.mpg", "data.h5", "scan.fits"):
        (photos / name).write_bytes(b"no photo")
    (photos / "folder.jpg").mkdir()
    assert len(succeed("infer", net_file, photos, "--json").splitlines()) == 3


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_names_of_any_bytes_are_printed(net_file: Path, tmp_path: Path, encoding: str) -> None:
    name = b"k\xc3\xa4se \xff.png".decode("utf-8", "surrogateescape")
    Image.fromarray(pixels(1)[0]).save(tmp_path / name)
    for options in ([], ["--json"]):
        done = squish("infer", net_file, tmp_path, *options, PYTHONIOENCODING=f"{encoding}:strict")
        assert (done.returncode, done.stderr) == (0, "")
        assert ".png" in done.stdout
    assert json.loads(done.stdout)["file"] == str(tmp_path / name)


def test_a_photo_too_large_for_the_memory_costs_only_itself(
    net: squishnative.Net, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Image.Image.convert

    def convert(image: Image.Image, *arguments: Any) -> Image.Image:
        if image.width == 41:
            raise MemoryError
        return whole(image, *arguments)

    monkeypatch.setattr(Image.Image, "convert", convert)
    Image.new("L", (41, 40)).save(photos / "large.png")
    Image.new("L", (42, 40)).save(photos / "small.png")
    files = [photos / name for name in ("large.png", "small.png")]
    large, small = classify(net, files, 1, 2)
    assert large.error == f"'{files[0]}': not enough memory to resize it"
    assert small.error is None


# inspect


def test_inspect_shows_every_layer_and_the_totals(net_file: Path) -> None:
    table = succeed("inspect", net_file)
    for word in ("conv1", "fire2/squeeze", "fire3/expand3x3", "bypass3", "pool4", "for tests"):
        assert word in table


def test_inspect_says_which_arithmetic_a_file_is_made_for(net_file: Path) -> None:
    assert "bytes, made for floats (layer " in succeed("inspect", net_file)
    assert "bytes, made for integer arithmetic" in succeed("inspect", "imagenette-s")


def test_inspect_json_adds_up(net_file: Path) -> None:
    document = json.loads(succeed("inspect", net_file, "--json", "--plan"))
    rows = {row["name"]: row for row in document["layers"]}
    spec = tiny_spec()
    assert document["classes"] == CLASSES
    assert document["labels"] == LABELS
    assert document["file_bytes"] == net_file.stat().st_size
    assert document["input"]["shape"] == [3, SIZE, SIZE]
    conv1 = rows["conv1"]
    assert conv1["output"] == [20, 11, 11]
    assert conv1["weights"] == 20 * 3 * 3 * 3
    assert conv1["macs"] == conv1["weights"] * 11 * 11
    assert conv1["bytes"] == 4 * (20 + conv1["weights"])
    assert rows["fire2/expand3x3"]["weights"] == spec.layers[2].expand3x3.weight.size  # type: ignore[union-attr]
    weighted = [row for row in document["layers"] if row["encoding"]]
    assert sum(row["macs"] for row in weighted) == sum(step["macs"] for step in document["plan"])
    total = sum(document["memory"].values())
    assert f"memory with one thread: {total:,} bytes" in succeed("inspect", net_file, "--plan")


def test_inspect_takes_another_size(net_file: Path) -> None:
    document = json.loads(succeed("inspect", net_file, "--json", "--size", 48))
    assert document["layers"][0]["output"] == [20, 23, 23]
    done = squish("inspect", net_file, "--size", 2)
    assert done.returncode == 1
    assert "got 2x2 pixels" in done.stderr


# convert, export, bench


def test_export_and_convert_come_back_to_the_same_net(net_file: Path, tmp_path: Path) -> None:
    onnx, again = tmp_path / "net.onnx", tmp_path / "again.squish"
    assert str(onnx) in succeed("export", net_file, "-o", onnx)
    assert "bytes" in succeed("convert", onnx, "-o", again, "--dtype", "f32")
    batch = pixels(2)
    np.testing.assert_array_equal(
        squishnative.load(again).infer(batch), squishnative.load(net_file).infer(batch)
    )
    assert read(onnx).net.labels == LABELS


def test_convert_takes_the_preprocessing(net_file: Path, tmp_path: Path) -> None:
    onnx, again = tmp_path / "net.onnx", tmp_path / "again.squish"
    succeed("export", net_file, "-o", onnx)
    options = ["--mean", "0.1,0.2,0.3", "--std", "1,2,4", "--interpolation", "nearest"]
    succeed("convert", onnx, "-o", again, *options, "--about", "by hand")
    with squishnative.load(again) as net:
        np.testing.assert_array_equal(net.model.mean, np.array([0.1, 0.2, 0.3], np.float32))
        assert net.model.std == [1, 2, 4]
        assert (net.model.interpolation, net.model.about) == ("nearest", "by hand")
    done = squish("convert", onnx, "-o", again, "--mean", "0.1,red")
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "--mean" in said
    assert "got '0.1,red', wanted numbers such as" in said


@pytest.mark.parametrize("size", [SIZE, SIZE + 9])
@pytest.mark.parametrize("against", [[], ["--against", "onnxruntime"]])
def test_bench_measures(net_file: Path, against: list[str], size: int) -> None:
    if against:
        pytest.importorskip("onnxruntime")
    options = ["--seconds", 0.1, "--batch", 2, "--size", size, "--json"]
    report = json.loads(succeed("bench", net_file, *options, *against))
    assert report["input"] == [2, 3, size, size]
    for name in ["squishnative", *against[1:]]:
        timing = report["seconds"][name]
        assert 0 < timing["minimum"] <= timing["median"] <= timing["p90"]
        assert timing["calls"] >= 5
    assert (report["max_logit_difference"] is not None) == bool(against)
    assert not against or report["max_logit_difference"] < 1e-4  # a share of logits of about 1


# Help and errors


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"\n  squish {command}" in result.output


def test_help_lists_the_commands() -> None:
    listed = CliRunner().invoke(app, ["--help"]).output
    assert all(f"\n  {command} " in listed for command in COMMANDS)


def test_version_is_the_modules() -> None:
    assert succeed("--version") == f"squish {squishnative.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["infer"], ["nonsense"], ["infer", "--nonsense"], ["infer", "a", "b", "-k", "0"]],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    done = squish(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_errors_are_one_line_and_debug_shows_where(tmp_path: Path) -> None:
    net = tmp_path / "net.squish"
    done = squish("inspect", net)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"squish: error: '{net}': No such file or directory\n"
    net.write_text("no net, but as long as the header of one is", encoding="utf-8")
    done = squish("inspect", net)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"squish: error: '{net}'")
    assert "Traceback" in squish("--debug", "inspect", net).stderr


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("w"), "squish: error: KeyError: 'w' (squish --debug ... shows where)"),
        (MemoryError(), "squish: error: MemoryError"),
        (NotImplementedError("so\nfar"), "squish: error: so far"),
    ],
)
def test_any_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    message: str,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys.modules["squishnative.cli.main"], "app", fail)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert (exit_.value.code, capsys.readouterr().err) == (1, f"{message}\n")


@pytest.mark.parametrize("package", ["torch", "sklearn"])
def test_the_demo_says_what_it_needs(tmp_path: Path, package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from squishnative.cli import main; main()"
    command = [sys.executable, "-c", code, "demo", "--output", str(tmp_path / "demo")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.endswith("pip install 'squishnative[demo]'")


def test_interrupting_ends_with_130(net_file: Path) -> None:
    code = """if True:
        import os, signal, sys
        from squishnative.cli import main
        bench = sys.modules["squishnative.cli.bench"]
        # Shells have what they run in the background ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        bench.time_interleaved = lambda *_: os.kill(os.getpid(), signal.SIGINT)
        main()
    """
    command = [sys.executable, "-c", code, "bench", str(net_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    "arguments", [["--threads", 65536], ["--threads", 0], ["--size", 65536], ["--size", 0]]
)
def test_numbers_out_of_range_are_wrong_usage(net_file: Path, arguments: list[object]) -> None:
    assert squish("bench", net_file, *arguments).returncode == 2


def test_a_reader_that_leaves_early_is_no_error(net_file: Path, photos: Path) -> None:
    command = [sys.executable, "-m", "squishnative", "infer", str(net_file)]
    with subprocess.Popen(
        [*command, *[str(photos / "a.png")] * 2000],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
