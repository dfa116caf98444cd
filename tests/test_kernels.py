"""Every kernel that the GPU engine launches, compiled for every kind of GPU."""

import threading
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import triton
from compiled import TABLE, TARGETS, compiled, contents, launched, recording, resize, together

from torchresample.triton_kernels import tables

VARIANTS = {variant.name: (variant, arguments) for variant, arguments in launched().items()}
SHARED = {"sm_80": 163, "sm_90": 227, "sm_100": 227, "gfx942": 64}
"""KiB that a program may have."""

GIVEN = {"sm_80": 1, "sm_90": 1, "sm_100": 1, "gfx942": 8}
"""Registers by less than which a count may differ: AMD's compiler is not the same in every process
(139 and 140 were seen), and its hardware gives eight at once.
"""

PIXELS = {"*u8": 1, "*fp16": 2, "*bf16": 2, "*fp32": 4}
"""Bytes of those that are multiplied."""


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(TABLE, keep_default_na=False).set_index(["variant", "target"])


def test_there_are_variants():
    """Of every kernel, and of every type of sums."""
    kernels = {variant.kernel.fn.__name__ for variant, _ in VARIANTS.values()}
    names = "resize", "multiply", "weigh", "weigh_both", "select", "straighten", "blocks", "bits"
    assert kernels == {f"{name}_kernel" for name in names}
    for sums in ("SUMS", "SUMS_1", "SUMS_2"):
        kinds = {str(dict(variant.constants).get(sums)) for variant, _ in VARIANTS.values()}
        assert kinds == {"int32", "int64", "fp32", "fp64", "None"}


def test_the_table_has_them(table):
    assert set(table.index) == {(name, target) for name in VARIANTS for target in TARGETS}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("like", "method"), [("pillow", "lanczos3"), ("torch", "bicubic")])
@pytest.mark.parametrize("taps", [1, 10, 100, 300, 500, 1000, 1500, 2000])
def test_any_number_of_taps(like, method, dtype, taps):
    """No other kernels, and so no more shared memory: windows are read by parts."""
    radius = 3 if method == "lanczos3" else 2
    n = 4 * taps // (2 * radius) + 1
    with recording() as found:
        for size, size_out in (
            *(((n, n), (4, 4)), ((n, 159), (4, 77)), ((n, 160), (4, 77)), ((159, n), (44, 4))),
            *(((60, n), (600, 4)), ((n, 160), (4, 160)), ((n, 31), (4, 900))),
        ):
            resize(like, method, True, dtype, ((size, size_out),))
        together(method, True, n, dtype, ((4, 4), (4, 900)), like, dtype)
    assert found.keys() <= launched().keys()


def _chunk(variant) -> tuple[int, int] | None:
    """Bytes of pixels that a program multiplies at once, and of how many a line consists."""
    constants, size = dict(variant.constants), PIXELS.get(variant.types[0])
    for chunk, lanes, *aligns in (
        ("CHUNK_1", "CHUNK_2", "ALIGN_1", "ALIGN_2"),
        ("CHUNK", "LANES", "ALIGN", "ALIGN_LANES"),
    ):
        if {chunk, lanes, *aligns} <= constants.keys():
            aligned = max(constants[name] for name in aligns)
            return size * constants[chunk] * constants[lanes], size * aligned
    return None


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", VARIANTS)
def test_compiles(table, name, target):
    """Without spills, for the matrix units, and to what the table says."""
    variant, arguments = VARIANTS[name]
    found = contents(compiled(variant, arguments, target))
    assert found["spills"] == 0
    assert found["shared"] <= 1024 * SHARED[target]
    chunk = _chunk(variant)
    if chunk is not None:
        pixels, aligned = chunk
        assert found["matrix"] > 0
        # Where there is so much for a thread.
        wide = aligned == 16 and pixels >= 16 * variant.warps * TARGETS[target].warp_size
        assert not wide or "128" in found["loads"].split()
    expected = table.loc[(name, target)].to_dict()
    if expected.pop("triton") == triton.__version__:  # another compiler has other registers
        assert abs(found["registers"] - expected["registers"]) < GIVEN[target]
        assert found == expected | {"registers": found["registers"]}


@pytest.fixture
def gpu(monkeypatch):
    """What a GPU would say, what it was told, and a cache of things on it, by threads."""
    default, other = SimpleNamespace(cuda_stream=0), SimpleNamespace(cuda_stream=1)
    state = {"stream": default, "captures": False, "told": []}
    monkeypatch.setattr(tables, "_HELD", {})
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: state["stream"])
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: state["captures"])
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *told: state["told"].append(told))
    make = tables.cached(1)(lambda n, device: (torch.tensor(threading.get_ident()), None))
    return state, other, lambda n: make(n, torch.device("cuda"))


def test_what_a_graph_reads_is_held(gpu):
    """Caches forget; a captured CUDA graph reads the same memory again."""
    state, other, make = gpu
    made = make(1)
    assert not tables._HELD
    state |= {"stream": other, "captures": True}
    assert make(1) is made
    assert list(tables._HELD.values()) == [made]
    with pytest.raises(RuntimeError, match="capture a resize once it was called"):
        make(2)


def test_what_other_streams_read_is_held(gpu):
    """Memory that is forgotten is free for the default stream, not for those that still read."""
    state, other, make = gpu
    made = make(1)
    assert make(1) is made
    assert not state["told"]
    state["stream"] = other
    assert make(1) is made
    ((tensor, stream),) = state["told"]
    assert tensor is made[0]
    assert stream is other


def test_a_graph_owns_no_tables(gpu):
    """Warming up, ``torch.compile`` gives a graph all that the thread allocates on its stream."""
    state, other, make = gpu
    assert make(1)[0] == threading.get_ident()
    state["stream"] = other
    made = make(2)
    assert made[0] != threading.get_ident()
    assert make(2) is made
