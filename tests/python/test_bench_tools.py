from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import compare
import make_nets
import numpy as np
import peers
import pytest
import squishnative
from squishnative import nets as shipped
from squishnative.spec import Conv, FloatArray, NetSpec
from squishnative.train.dataset import read_dataset
from squishnative.train.run import read_net

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "tools" / "bench" / "shapes" / "small.txt"

OPTIONS = [
    *("--batch", "--threads", "--device", "--isa", "--direct", "--size", "--format"),
    *("--warmup", "--iters", "--profile", "--json", "--version", "--help"),
]

Tool = Callable[..., "subprocess.CompletedProcess[str]"]


def find_binary(name: str) -> Path:
    """What a CMake preset for this machine built; SQUISH_BENCH_DIR says where else to look."""
    folder = os.environ.get("SQUISH_BENCH_DIR")
    presets = [ROOT / "build" / preset / "tools" / "bench" for preset in ("dev", "release")]
    folders = [Path(folder)] if folder else presets
    found = [folder / name for folder in folders if (folder / name).is_file()]
    if not found:
        pytest.skip(f"no {name}: cmake --preset dev && cmake --build --preset dev")
    return found[0]


def runner(name: str) -> Tool:
    binary = find_binary(name)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(binary), *(str(argument) for argument in arguments)]
        return subprocess.run(command, capture_output=True, text=True, errors="surrogateescape")

    return run


@pytest.fixture(scope="module")
def squish_bench() -> Tool:
    return runner("squish-bench")


@pytest.fixture(scope="module")
def bench_kernels() -> Tool:
    return runner("squish-bench-kernels")


def measured(tool: Tool, report: Path, *arguments: object) -> dict[str, Any]:
    done = tool(*arguments, "--warmup", 0, "--json", report)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return result


def test_help_names_every_option(squish_bench: Tool) -> None:
    done = squish_bench("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for option in OPTIONS:
        assert f"  {option} " in done.stdout
    assert squish_bench("--version").stdout == f"squish-bench {squishnative.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no net: wanted at least one .squish file"),
        (["--batch"], "--batch wants a value"),
        (["--batch", "0"], "--batch: got '0', wanted a whole number, at least 1"),
        (["--batch=1e3"], "--batch: got '1e3', wanted"),
        (["--iters", "99999999999"], "--iters: got '99999999999', wanted"),
        (["--size", "24x"], "--size: got '24x', wanted pixels such as 224 or 224x320"),
        (["--format", "bf16"], "--format: got 'bf16', wanted f32 or u8"),
        (["--profile=yes"], "--profile takes no value"),
        (["--speed", "1"], "unknown option '--speed'"),
        (["NET", "--device", "reference", "--isa", "avx2"], "--isa and --direct choose kernels"),
        (["NET", "--tune"], "--tune measures kernels of a CUDA device, got --device cpu"),
        (
            ["NET", "--direct", "--storage", "i8"],
            "--direct: integers have no Winograd convolutions",
        ),
        (["NET", "--size", "1"], "image: got 1x1 pixels, too small for the net"),
    ],
)
def test_a_wrong_call_ends_with_2(
    squish_bench: Tool, net_file: Path, arguments: Sequence[str], message: str
) -> None:
    done = squish_bench(*(net_file if word == "NET" else word for word in arguments))
    assert done.returncode == 2
    assert done.stderr.startswith("squish-bench: ")
    assert message in done.stderr
    assert done.stdout == ""


def test_what_cannot_be_done_ends_with_1(
    squish_bench: Tool, net_file: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.squish"
    damaged.write_bytes(net_file.read_bytes()[:-1])
    for arguments, message in (
        ([tmp_path / "absent.squish"], "No such file"),
        ([damaged], "damaged.squish"),
        ([net_file, "--isa", "mmx"], "isa: got 'mmx'"),
        ([net_file, "--device", "abacus"], "device: got 'abacus'"),
        ([net_file, "--device", "cuda:999"], "cuda:999"),
        ([net_file, "--iters", "1", "--json", tmp_path / "absent" / "x.json"], "cannot write"),
    ):
        done = squish_bench(*arguments)
        assert (done.returncode, message in done.stderr) == (1, True), done.stderr


def test_report_agrees_with_the_engine(squish_bench: Tool, net_file: Path, tmp_path: Path) -> None:
    report = measured(squish_bench, tmp_path / "report.json", net_file, "--iters", 7)
    (net,) = report["nets"]
    with squishnative.load(net_file) as loaded:
        steps = loaded.steps()
        assert (report["isa"], net["classes"]) == (loaded.isa, loaded.classes)
        assert tuple(net["input"]) == loaded.input_shape
        memory = loaded.memory()
        assert net["memory"] == {part: getattr(memory, part) for part in net["memory"]}
        assert sum(net["memory"].values()) == memory.total
    assert [step["layer"] for step in net["steps"]] == [step.layer for step in steps]
    assert net["macs"] == sum(step.macs for step in steps)
    assert net["macs_run"] == sum(step.macs_run for step in steps)
    assert net["file_bytes"] == net_file.stat().st_size
    assert (report["threads"], report["batch"], report["iterations"]) == (1, 1, 7)
    assert not any("seconds" in step for step in net["steps"])
    assert list(tmp_path.iterdir()) == [tmp_path / "report.json"]


def test_figures_agree_with_each_other(squish_bench: Tool, net_file: Path, tmp_path: Path) -> None:
    report = measured(squish_bench, tmp_path / "report.json", net_file, net_file, "--iters", 9)
    first, second = report["nets"]
    for net in (first, second):
        samples = sorted(net["samples"])
        assert len(samples) == 9
        assert 0 < samples[0] == net["seconds"]["min"]
        assert net["seconds"]["median"] == samples[4]
        assert net["seconds"]["p90"] == pytest.approx(samples[7] + 0.2 * (samples[8] - samples[7]))
        assert net["images_per_second"] == pytest.approx(1 / samples[4])
        assert net["flops"] == pytest.approx(2 * net["macs_run"] / samples[0])
        assert net["fraction_of_peak"] == pytest.approx(net["flops"] / report["core_flops"])
    assert first["speed_to_first"] == 1
    ratio = first["seconds"]["min"] / second["seconds"]["min"]
    assert second["speed_to_first"] == pytest.approx(ratio)


def test_options_reach_the_engine(squish_bench: Tool, net_file: Path, tmp_path: Path) -> None:
    report = measured(
        squish_bench,
        tmp_path / "report.json",
        *(net_file, "--iters=2", "--batch=3", "--threads=2", "--size=31x40", "--format=u8"),
        *("--isa=scalar", "--direct", "--profile"),
    )
    assert (report["isa"], report["batch"], report["threads"]) == ("scalar", 3, 2)
    assert (report["format"], report["winograd"]) == ("u8", False)
    (net,) = report["nets"]
    assert net["input"] == [3, 31, 40]
    assert not any("winograd" in step["kernel"] for step in net["steps"])
    assert all(step["seconds"] >= 0 for step in net["steps"])


def test_direct_asks_for_floats(squish_bench: Tool, tmp_path: Path) -> None:
    made_for_integers = shipped.path_of("imagenette-s")
    report = measured(
        squish_bench, tmp_path / "report.json", made_for_integers, "--iters=1", "--direct"
    )
    assert report["nets"][0]["storage"] == "f32"


def test_reference_device_has_no_peak(squish_bench: Tool, net_file: Path, tmp_path: Path) -> None:
    report = measured(
        squish_bench, tmp_path / "report.json", net_file, "--device=reference", "--iters=1"
    )
    assert (report["isa"], report["core_flops"]) == ("", None)
    assert report["nets"][0]["fraction_of_peak"] is None


def test_json_survives_any_file_name(squish_bench: Tool, net_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / 'a "quoted"\\\n\t\x01 ü.squish'
    copy.write_bytes(net_file.read_bytes())
    report = measured(squish_bench, tmp_path / "report.json", copy, "--iters=1")
    assert report["nets"][0]["path"] == str(copy)
    not_utf8 = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.squish"))
    not_utf8.write_bytes(net_file.read_bytes())
    report = measured(squish_bench, tmp_path / "report.json", not_utf8, "--iters=1")
    assert report["nets"][0]["path"] == f"{tmp_path}/\ufffd.squish"


def test_a_dash_prints_the_json_alone(
    squish_bench: Tool,
    bench_kernels: Tool,
    net_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for tool, operand in ((squish_bench, net_file), (bench_kernels, SHAPES)):
        done = tool(operand, "--iters=1", "--warmup=0", "--json=-")
        assert "version" in json.loads(done.stdout), done.stderr
    assert not list(tmp_path.glob("-"))


def test_kernels_cost_what_lives(bench_kernels: Tool, tmp_path: Path) -> None:
    report = measured(
        bench_kernels, tmp_path / "report.json", SHAPES, "--densities=1,0.5,0", "--iters=1"
    )
    found = report["measurements"]
    assert {m["isa"] for m in found} == set(squishnative.available_isas())
    assert {m["shape"] for m in found} == {
        "input",
        "input_padded",
        "one_by_one",
        "three_by_three",
        "strided",
    }
    assert {"cluster_16x1", "winograd_2x2"} <= {m["kernel"] for m in found}
    for m in found:
        if m["density"] == 0:
            assert m["macs_run"] == 0
        elif m["kernel"] == "winograd_2x2":
            assert 0 < m["macs_run"] < m["macs"]
        elif m["density"] == 1:
            assert m["macs_run"] >= m["macs"]  # blocks of 16 output channels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "no shapes"),
        ("\na 3 16 8 8 3 1\n", ":2: wanted a name and 7 numbers"),
        ("a 3 16 8 8 3 1 0 0\n", ":1: wanted a name and 7 numbers"),
        ("a 3 16 8 x 3 1 0\n", ":1: wanted a name and 7 numbers"),
        ("a 3 0 8 8 3 1 0\n", ":1: 'a': a number is too small"),
        ("a 3 16 8 8 3 1 3\n", ":1: 'a': a number is too small or too large"),
        ("a 3 16 4 4 9 1 2\n", ":1: 'a': the padded input is smaller"),
    ],
)
def test_kernels_refuse_wrong_shapes(
    bench_kernels: Tool, tmp_path: Path, text: str, message: str
) -> None:
    shapes = tmp_path / "shapes.txt"
    shapes.write_text(text, encoding="utf-8")
    done = bench_kernels(shapes)
    assert done.returncode == 2
    assert message in done.stderr


def test_kernels_refuse_wrong_densities(bench_kernels: Tool) -> None:
    for densities in ("", "1,,0", "1.5", "nan", "half"):
        done = bench_kernels(SHAPES, f"--densities={densities}")
        assert (done.returncode, "wanted numbers from 0 to 1" in done.stderr) == (2, True)


def convs(net: NetSpec) -> dict[str, FloatArray]:
    return {name: conv.weight for layer in net.layers for name, conv in layer.named_convs()}


def six_sigma(density: float, count: int) -> float:
    """How far a share of `count` coin tosses is from `density`, at most."""
    return 6 * math.sqrt(density * (1 - density) / count)


def test_dense_benchmark_net_is_squeezenet_1_1(tmp_path: Path) -> None:
    make_nets.make_net("dense").save(tmp_path / "net.squish")
    with squishnative.load(tmp_path / "net.squish") as net:
        assert sum(step.macs for step in net.steps()) == 263_489_216
        assert (net.classes, net.input_shape) == (10, (3, 224, 224))


@pytest.mark.parametrize(
    "name", ["clusters33", "clusters15", "clusters15x4", "clusters15all", "synapses33"]
)
def test_sparse_benchmark_nets_have_their_density(name: str) -> None:
    recipe = make_nets.RECIPES[name]
    for conv, weight in convs(make_nets.make_net(name)).items():
        if recipe.dense_ends and conv in ("conv1", "conv10"):
            assert np.all(weight != 0)
            continue
        units = [
            weight[o : o + recipe.unit, i : i + recipe.inputs]
            for o in range(0, weight.shape[0], recipe.unit)
            for i in range(0, weight.shape[1], recipe.inputs)
        ]
        lives = np.stack([(unit != 0).any(axis=(0, 1)) for unit in units])
        assert abs(lives.mean() - recipe.density) <= six_sigma(recipe.density, lives.size), conv
        for unit, alive in zip(units, lives):
            assert np.array_equal(unit != 0, np.broadcast_to(alive, unit.shape)), conv


def test_benchmark_nets_are_the_same_each_time() -> None:
    first, second = (convs(make_nets.make_net("filters60")) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    head = make_nets.make_net("filters60").layers[-2]
    assert isinstance(head, Conv)
    assert head.conv.weight.shape == (10, 2 * 154, 1, 1)


@pytest.mark.parametrize("engine", list(peers.PEERS))
def test_peers_run_the_same_net(net_file: Path, engine: str) -> None:
    result = compare.compare([net_file], batch=2, threads=1, seconds=0, engines=[engine])
    if engine in result.left_out:
        pytest.skip(result.left_out[engine])
    ours, theirs = result.entries
    assert theirs.engine.startswith(engine)
    assert 0 < theirs.seconds.minimum <= theirs.seconds.median <= theirs.seconds.p90
    assert theirs.seconds.calls >= 5
    assert ours.net == theirs.net == net_file.stem


def test_compare_names_what_it_leaves_out(net_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(task: peers.Task) -> peers.Run:
        raise ModuleNotFoundError(f"no module for {task.threads} thread")

    def unable(task: peers.Task) -> peers.Run:
        raise peers.PeerError(f"cannot read {task.onnx.name}")

    monkeypatch.setattr(compare, "PEERS", {"absent": absent, "unable": unable})
    result = compare.compare([net_file], 1, 1, 0, ["absent", "unable"])
    assert "Left out: absent, not installed (no module for 1 thread)." in result.markdown()
    assert f"Left out: unable, cannot read {net_file.stem}.onnx." in result.markdown()
    assert json.loads(json.dumps(result.as_dict()))["left_out"] == result.left_out


def test_nets_of_one_name_are_not_mixed_up(
    net_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / net_file.name
    other.write_bytes(net_file.read_bytes())
    seen: list[Path] = []

    def same_net(task: peers.Task) -> peers.Run:
        seen.append(task.onnx.parent)
        return squishnative.load(task.squish).infer

    monkeypatch.setattr(compare, "PEERS", {"peer": same_net})
    monkeypatch.setattr(compare, "version", lambda _: "1")
    compare.compare([net_file, other], 1, 1, 0, ["peer"])
    assert len(set(seen)) == 2


def test_compare_refuses_another_net(net_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(task: peers.Task) -> peers.Run:
        net = squishnative.load(task.squish)
        return lambda batch: np.asarray(net.infer(batch) * np.float32(1.01))

    monkeypatch.setattr(compare, "PEERS", {"wrong": wrong})
    with pytest.raises(ValueError, match=r"wrong on .*: logits differ by 0\.0"):
        compare.compare([net_file], 1, 1, 0, ["wrong"])


class TestPhotographs:
    """compare.py --data: what engines say of photographs, beside how fast."""

    @pytest.mark.parametrize("margin", [0, 10])
    def test_right_ones_are_counted(
        self,
        ancestor: Path,
        pictures: Path,
        margin: int,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        spec = read_net(str(ancestor))
        spec.input.resize = spec.input.height + margin
        file = tmp_path / "net.squish"
        spec.save(file)
        data = read_dataset(pictures, spec.input)
        with squishnative.load(file) as net:
            labels = net.infer(data.val.images).argmax(1)
        assert data.val.images.shape[1:3] == net.input_shape[1:], "as the engine sees it"
        right = (labels == data.val.classes).mean()

        def same_net(task: peers.Task) -> peers.Run:
            assert task.calibration.shape[1:] == (*task.shape[2:], task.shape[1])
            assert len(task.calibration) >= min(compare.CALIBRATED, len(data.train.images))
            return squishnative.load(task.squish).infer

        monkeypatch.setattr(compare, "PEERS", {"peer": same_net})
        monkeypatch.setattr(compare, "version", lambda _: "1")
        seen: list[FloatArray] = []
        views = compare._read_photographs

        def watched(*arguments: Any) -> compare.Photographs:
            found = views(*arguments)
            seen.append(found.others)
            return found

        monkeypatch.setattr(compare, "_read_photographs", watched)
        result = compare.compare([file], 4, 1, 0, ["peer"], str(pictures))
        (others,) = seen
        pixels = data.val.images.astype(np.float32).transpose(0, 3, 1, 2) / 255
        mean, std = (np.reshape(v, (-1, 1, 1)) for v in (spec.input.mean, spec.input.std))
        np.testing.assert_allclose(others, (pixels - mean) / std, atol=1e-5)
        assert [entry.accuracy for entry in result.entries] == [right] * 2
        assert result.markdown().count(f", {100 * right:.2f} % |") == 2

    def test_nets_of_other_classes_are_refused(self, net_file: Path, pictures: Path) -> None:
        with pytest.raises(ValueError, match="knows other classes than the photographs in"):
            compare.compare([net_file], 1, 1, 0, [], str(pictures))

    @pytest.mark.parametrize("count", [1, 4, 5])
    def test_batches_are_of_one_size(self, count: int) -> None:
        images = np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1)
        batches = list(peers.in_batches(images, 4))
        assert {len(batch) for batch in batches} == {4}
        together = np.concatenate(batches).ravel()
        assert together[:count].tolist() == list(range(count))
        assert set(together[count:]) <= {count - 1}
