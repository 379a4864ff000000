"""Threads, processes and the end of the interpreter."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import squishnative
from squishnative import Net
from squishnative.spec import Conv, ConvSpec, InputSpec, NetSpec
from tiny_net import floats


@pytest.fixture
def no_forced_switches() -> Iterator[None]:
    """Threads then change only where one releases the GIL on its own."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    yield
    sys.setswitchinterval(interval)


class Ticker(threading.Thread):
    """Counts whenever it gets the GIL."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks = 0
        self.stopping = False

    def run(self) -> None:
        while not self.stopping:
            self.ticks += 1
            time.sleep(1e-5)


def ticks_during(call: Callable[[], object], attempts: int = 100) -> int:
    """The sleeping ticker runs meanwhile only if `call` releases the GIL.

    Several attempts, because on a busy machine the ticker may wake too late for a short call.
    """
    ticker = Ticker()
    ticker.start()
    while ticker.ticks == 0:
        time.sleep(1e-4)
    ticks = 0
    while ticks == 0 and attempts > 0:
        before = ticker.ticks
        call()
        ticks = ticker.ticks - before
        attempts -= 1
    ticker.stopping = True
    ticker.join()
    return ticks


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 MB of weights: to read and check them takes many milliseconds."""
    weight = np.random.default_rng(0).standard_normal((1024, 4096, 1, 1), np.float32)
    first = np.ones((4096, 3, 1, 1), np.float32)
    net = NetSpec(InputSpec(height=8, width=8))
    net.layers = [
        Conv("first", -1, ConvSpec(first, np.zeros(4096, np.float32))),
        Conv("big", 0, ConvSpec(weight, np.zeros(1024, np.float32))),
    ]
    path = tmp_path_factory.mktemp("big") / "big.squish"
    net.save(path, encoding="dense")
    return path


@pytest.mark.usefixtures("no_forced_switches")
def test_infer_releases_the_gil(net: Net) -> None:
    batch = floats(512)
    assert ticks_during(lambda: net.infer(batch)) > 0


@pytest.mark.usefixtures("no_forced_switches")
def test_the_ticker_notices_a_gil_that_is_held() -> None:
    pattern = np.arange(500_000)[::-1].tolist()  # sorting it never releases the GIL
    assert ticks_during(lambda: sorted(pattern)) == 0


@pytest.mark.usefixtures("no_forced_switches")
def test_load_releases_the_gil(big_file: Path) -> None:
    data = str(big_file)
    assert ticks_during(lambda: squishnative._core.Model.load(data)) > 0


@pytest.mark.usefixtures("no_forced_switches")
def test_close_releases_the_gil(net_file: Path) -> None:
    nets = [squishnative.load(net_file, threads=32) for _ in range(20)]
    assert ticks_during(lambda: nets.pop().close(), attempts=20) > 0


@pytest.mark.timing
@pytest.mark.usefixtures("no_forced_switches")
def test_two_nets_run_at_the_same_time(net_file: Path) -> None:
    def span(net: Net) -> tuple[float, float]:
        begin = time.perf_counter()
        net.infer(batch)
        return begin, time.perf_counter()

    def overlap() -> bool:
        (begin_a, end_a), (begin_b, end_b) = pool.map(span, nets)
        return max(begin_a, begin_b) < min(end_a, end_b)

    batch = floats(1024)
    nets = [squishnative.load(net_file) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:  # a busy machine may start the second thread too late
        assert any(overlap() for _ in range(50))


@pytest.mark.parametrize("threads", [1, 2])
def test_one_net_serves_many_threads(net_file: Path, threads: int) -> None:
    net = squishnative.load(net_file, threads=threads)
    batches = [floats(1 + i % 3, size=20 + i % 7) for i in range(40)]
    wanted = [net.infer(batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for got, want in zip(pool.map(net.infer, batches), wanted):
            np.testing.assert_array_equal(got, want)


def test_closing_lets_calls_under_way_finish(net_file: Path) -> None:
    batch = floats(512)
    wanted = squishnative.load(net_file).infer(batch)
    finished = 0
    with ThreadPoolExecutor(2) as pool:
        for _ in range(
            50
        ):  # a busy machine may start the calls after the close, or end them before
            net = squishnative.load(net_file, threads=2)
            calls = [pool.submit(net.infer, batch) for _ in range(2)]
            time.sleep(1e-3)
            net.close()
            under_way = [call for call in calls if not call.done()]
            for call in calls:
                if isinstance(call.exception(), ValueError):  # it began after the close
                    assert "closed" in str(call.exception())
                else:
                    np.testing.assert_array_equal(call.result(), wanted)
                    finished += call in under_way
            if finished:
                return
    pytest.fail("no call was under way when its net was closed")


def in_child(net_file: Path, code: str) -> subprocess.CompletedProcess[str]:
    prelude = "import numpy as np, os, squishnative, sys, threading, time\n"
    prelude += f"path = {str(net_file)!r}\nbatch = np.ones((64, 3, 24, 24), np.float32)\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "code",
    [
        "net = squishnative.load(path, threads=2); net.infer(batch)",
        # Destroyed late, from a reference cycle and from another module.
        """
        net = squishnative.load(path, threads=2)
        net.infer(batch)
        cycle = [net]
        cycle.append(cycle)
        np.the_net = net
        """,
        # Called while the interpreter shuts down.
        """
        import atexit
        net = squishnative.load(path, threads=2)
        atexit.register(lambda: net.infer(batch))
        """,
        # Daemon threads in the middle of calls.
        """
        net = squishnative.load(path, threads=2)
        def loop():
            while True:
                net.infer(batch)
        for _ in range(3):
            threading.Thread(target=loop, daemon=True).start()
        time.sleep(0.1)
        """,
        # Daemon threads that close nets.
        """
        def loop():
            while True:
                squishnative.load(path, threads=2).close()
        for _ in range(3):
            threading.Thread(target=loop, daemon=True).start()
        time.sleep(0.1)
        """,
    ],
    ids=["live net", "late destruction", "call at exit", "daemon threads", "daemons that close"],
)
def test_the_interpreter_exits_cleanly(net_file: Path, code: str) -> None:
    done = in_child(net_file, code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_an_inherited_net_is_refused_after_a_fork(net_file: Path) -> None:
    done = in_child(
        net_file,
        """
        net = squishnative.load(path, threads=2)
        net.infer(batch)
        child = os.fork()
        if child == 0:
            try:
                net.infer(batch)
            except RuntimeError as error:
                assert "load it again" in str(error)
            else:
                sys.exit("ran on threads that are not there")
            del net
            squishnative.load(path, threads=2).infer(batch)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        net.infer(batch)
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")


def infer_in_process(net: Net) -> list[float]:
    return [float(logit) for logit in net.infer(floats(1))[0]]


def test_nets_travel_to_other_processes(net: Net) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(infer_in_process, [net]) == [infer_in_process(net)]
