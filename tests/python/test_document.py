"""tools/bench/document.py: what it writes into docs/benchmarks.md."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import compare
import document
import make_nets
import pytest
from squishnative.timing import Timing


def bench_report(seconds: dict[str, float]) -> dict[str, Any]:
    """squish-bench's JSON, as far as the document reads it."""
    first = next(iter(seconds.values()))
    nets = [
        {
            "path": f"nets/{name}.squish",
            "file_bytes": 2000,
            "cluster_density": 0.16,
            "macs_run": 25_000_000,
            "seconds": {"min": least, "median": 2 * least},
            "fraction_of_peak": 0.5,
            "speed_to_first": first / least,
            "steps": [
                {"layer": "conv1+pool1", "seconds": 0.25 * least},
                {"layer": "fire2/squeeze", "seconds": 0.25 * least},
                {"layer": "conv10+pool10", "seconds": 0.5 * least},
            ],
        }
        for name, least in seconds.items()
    ]
    machine = {"compiler": "gcc 12"}
    return {"nets": nets, "core_flops": 250e9, "version": "0.1.0", "machine": machine}


def test_document_shows_what_was_measured() -> None:
    entry = compare.Entry("ours", "clusters15", 0.0, Timing(1e-3, 2e-3, 3e-3, 5))
    measured = document.Measured(
        day=date(2026, 1, 2),
        load=0.5,
        comparisons=[compare.Comparison(8, [entry], {})],
        shipped=compare.Comparison(1, [replace(entry, net="dense160")], {}),
        planned=bench_report({"dense": 1e-3, "clusters15": 0.5e-3, "clusters15all": 0.25e-3}),
        direct=bench_report({"dense": 2e-3, "clusters15": 0.5e-3, "clusters15all": 0.4e-3}),
    )
    text = document.results(measured, "a CPU")
    for part in (
        "Measured on 2026-01-02 at version 0.1.0 on a CPU, one thread, load average 0.5 before",
        "| batch 8 | 15 % of clusters |",
        "| ours | 1.00 / 2.00 |",
        "| batch 1 | dense |",
        "| 15 % of clusters | 2 | 16 % | 0.500 | 1.000 | 50 % | 2.00x |",
        "2.00x as fast, 4.00x with every layer sparse; against direct convolutions 4.00x and 5.00x",
        "takes 25 % of its time",
        "0.20 ms at the core's peak, and the dense net 5.0x as long",
    ):
        assert part in text.replace("\n", " ")


def test_document_has_the_form_that_is_written() -> None:
    """Its tables and those of the generator have the same heads and the same nets."""
    text = document.DOCUMENT.read_text(encoding="utf-8")
    for head in ("| batch 1 |", "| batch 8 |"):
        titles = " | ".join(document.TITLES[name] for name in document.COMPARED)
        assert f"{head} {titles} |" in text
    for name in make_nets.RECIPES:
        assert f"\n| {document.TITLES[name]} | " in text


def test_document_replaces_only_its_results() -> None:
    text = f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n"
    new = document.replace_results(text, "new")
    assert new == f"before\n{document.BEGIN}\n\nnew\n\n{document.END}\nafter\n"
    assert document.replace_results(new, "new") == new
    with pytest.raises(ValueError, match="wanted the lines"):
        document.replace_results("before\nafter\n", "new")
    document.replace_results(document.DOCUMENT.read_text(encoding="utf-8"), "")
