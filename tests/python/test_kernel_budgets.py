from __future__ import annotations

import locale
from dataclasses import replace

import kernel_budgets
import nvrtc
import pytest
from kernel_budgets import CURRENT, JETSONS, Budget, Usage, over_budget

CONV = "_ZN6squish4cuda4convIfLi1ELb0EEEvNS0_8ConvTaskIT_EE"
ADD = "_ZN6squish4cuda3addI6__halfEEvNS0_7AddTaskIT_EE"
# As NVRTC 11.8 words it, and nvcc 13.
REPORT = f"""\
ptxas info    : 28 bytes gmem
ptxas info    : Compiling entry function '{CONV}' for 'sm_53'
ptxas info    : Function properties for {CONV}
ptxas         .     16 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 57 registers, 4608 bytes smem, 472 bytes cmem[0], 4 bytes cmem[2]
ptxas info    : Compiling entry function '{ADD}' for 'sm_53'
ptxas info    : Function properties for {ADD}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers, 392 bytes cmem[0]
"""

USAGE = Usage(registers=57, shared=4608, stack=16, spills=0)
BUDGET = Budget({"sm_53": 64}, 4608, 16)


@pytest.mark.parametrize("architecture", [*JETSONS, *CURRENT])
def test_kernels_keep_to_their_budgets(architecture: str) -> None:
    budgets = kernel_budgets.read_table(kernel_budgets.TABLE.read_text(encoding="utf-8"))
    try:
        usages = kernel_budgets.measure(architecture, budgets)
    except nvrtc.CompilerMissingError as error:
        pytest.skip(str(error))
    found = over_budget(architecture, usages, budgets)
    assert not found, "\n".join([*found, "tools/cuda/kernel_budgets.py --update writes them anew"])


def test_report_is_read() -> None:
    assert kernel_budgets.read_report(REPORT) == {
        "conv<float, 1, false>": replace(USAGE, spills=16),
        "add<__half>": Usage(8, 0, 0, 0),
    }


def test_what_is_within_its_budget_passes() -> None:
    assert over_budget("sm_53", {"conv": USAGE}, {"conv": BUDGET}) == []


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        (replace(USAGE, registers=65), "sm_53: conv takes 65 registers a thread, its budget is 64"),
        (replace(USAGE, shared=4609), "sm_53: conv takes 4609 bytes of shared memory a block"),
        (replace(USAGE, stack=17), "sm_53: conv takes 17 bytes of stack a thread"),
        (replace(USAGE, spills=4), "sm_53: conv spills: 4 bytes"),
    ],
)
def test_what_is_over_its_budget_is_named(usage: Usage, message: str) -> None:
    (found,) = over_budget("sm_53", {"conv": usage}, {"conv": BUDGET})
    assert message in found


def test_kernels_and_table_must_be_the_same() -> None:
    assert over_budget("sm_53", {"fire": USAGE}, {"conv": BUDGET}) == [
        "sm_53: conv is in the table, but is no kernel any more",
        "sm_53: fire has no budget",
    ]


def test_table_survives_writing_and_reading() -> None:
    measured = {
        "sm_53": {"fire<float, true>": USAGE, "add<float>": Usage(8, 0, 0, 0)},
        "sm_90": {"fire<float, true>": replace(USAGE, stack=24), "add<float>": Usage(1, 0, 0, 0)},
    }
    assert kernel_budgets.read_table(kernel_budgets.write_table(measured)) == {
        "add<float>": Budget({"sm_53": 8, "sm_90": 8}, 0, 0),
        "fire<float, true>": Budget({"sm_53": 64, "sm_90": 64}, 4608, 24),
    }


def test_nvrtc_says_where_code_is_wrong() -> None:
    source = "#include <stdint.h>\nnamespace n { template <auto kValue> struct Newer {}; }\n"
    encoding = locale.getpreferredencoding(False)
    try:
        with pytest.raises(nvrtc.CompileError, match=r"sm_53:\nkernels\(2\): error"):
            nvrtc.compile_kernels(source, [], "sm_53", [])
    except nvrtc.CompilerMissingError as error:
        pytest.skip(str(error))
    assert locale.getpreferredencoding(False) == encoding
