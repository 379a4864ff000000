from __future__ import annotations

import shutil

import model_kernels
import pytest
from model_kernels import KERNELS, ModelError, compile_kernels, cycles, tile_loops

COMPILER = "aarch64-linux-gnu-g++"

TILE = "_ZN6squish9FloatConv4tileILi{rows}ELi{pixels}ELi{step}ELi1EEEvRKNS_8ConvTaskE:"
BODY = """
\tldp\tq0, q1, [x4]
.L2:
\tldr\ts4, [x1, x6, lsl 2]
\t.p2align 3,,7
\tfmla\tv8.4s, v2.4s, v4.s[0]
\tstr\tq8, [sp, 80]
\tbgt\t.L2
\tbeq\t.L3
.L3:
\tfmax\tv3.4s, v3.4s, v19.4s
\tcbnz\tx3, .L3
\tret
"""


def assembly(*, rows: int = 1, pixels: int = 3, step: int = 16) -> str:
    return TILE.format(rows=rows, pixels=pixels, step=step) + BODY


def test_finds_the_longest_loop_of_each_tile() -> None:
    text = (
        assembly(pixels=3)
        + assembly(pixels=2)
        + assembly(rows=2)
        + assembly(step=1)
        + "other:"
        + BODY
    )
    loops = list(tile_loops(text))
    assert [loop.pixels for loop in loops] == [2, 3]
    for loop in loops:
        assert [line.split("\t")[0] for line in loop.instructions] == ["ldr", "fmla", "str"]
        assert loop.in_memory == 1
    assert [loop.pixels for loop in tile_loops(text, step=1)] == [3]


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no {COMPILER}")
@pytest.mark.parametrize("name", KERNELS)
def test_no_kernel_keeps_sums_in_memory(name: str) -> None:
    loops = list(tile_loops(compile_kernels(COMPILER, name)))
    if name == "integers_neoni8mm":  # a loop for columns side by side, one for others
        assert [loop.pixels for loop in loops] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    else:
        assert [loop.pixels for loop in loops] == [1, 2, 3, 4, 5]
    for loop in loops:
        products = {
            "kernels_neon": 4 * loop.pixels,
            "integers_neon": 8 * loop.pixels,
            "integers_neondot": 4 * loop.pixels,
            "integers_neoni8mm": 8 * ((loop.pixels + 1) // 2),  # of pairs of pixels
        }
        assert loop.products == products[name]
        assert loop.in_memory == 0


@pytest.mark.skipif(shutil.which("llvm-mca-19") is None, reason="no llvm-mca-19")
@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no {COMPILER}")
@pytest.mark.parametrize(
    ("name", "cpu", "bound"),
    [
        ("kernels_neon", "neoverse-n1", 2),  # four products, two a cycle
        ("integers_neondot", "neoverse-n1", 2),
        ("kernels_neon", "cortex-a72", 4),  # one a cycle
        ("integers_neon", "cortex-a72", 8),  # eight
    ],
)
def test_the_widest_tiles_multiply_in_every_cycle(name: str, cpu: str, bound: int) -> None:
    *_, widest = tile_loops(compile_kernels(COMPILER, name))
    taken = cycles("llvm-mca-19", cpu, widest) / widest.pixels
    assert bound <= taken < 1.03 * bound


@pytest.mark.skipif(shutil.which("llvm-mca-19") is None, reason="no llvm-mca-19")
@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no {COMPILER}")
@pytest.mark.parametrize(("cpu", "products"), [("neoverse-v1", 4), ("neoverse-n2", 2)])
def test_matrix_products_wait_only_for_pixels_to_be_joined(cpu: str, products: int) -> None:
    """Of a pair of pixels: 8 products and one instruction that joins activations, or three."""
    *_, side_by_side, others = tile_loops(compile_kernels(COMPILER, "integers_neoni8mm"))
    assert side_by_side.pixels == others.pixels == 6
    for loop, joined in (side_by_side, 1), (others, 3):
        bound = 3 * (8 + joined) / products
        assert bound <= cycles("llvm-mca-19", cpu, loop) < 1.03 * bound


def test_says_which_tool_is_missing() -> None:
    with pytest.raises(ModelError, match="no-such-compiler: not found"):
        compile_kernels("no-such-compiler", "kernels_neon")


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no {COMPILER}")
def test_says_that_there_is_no_such_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["model_kernels.py", "kernels_neon", "--step", "3"])
    with pytest.raises(SystemExit, match="kernels_neon: has no loops for pixels 3 values apart"):
        model_kernels.main()
