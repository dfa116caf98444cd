"""Kernels run by Triton's interpreter, which is asked for before Triton is imported."""

import os

import numpy as np
import pytest
import torch

if os.environ.get("TRITON_INTERPRET") != "1":  # ``make test`` runs this folder on its own
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def _products_of_bfloat16(monkeypatch):
    """As matrix units do: cut off. The interpreter would multiply their bits as whole numbers."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    plain = InterpreterBuilder.create_dot

    def create_dot(self, *operands_and_rest):
        a, b, total, *_ = operands_and_rest
        if a.dtype.scalar != tl.bfloat16:
            return plain(self, *operands_and_rest)
        a, b = (
            (v.data.astype(np.uint32) << 16).view(np.float32).astype(np.float64) for v in (a, b)
        )
        exact = a @ b + total.data
        sums = exact.astype(np.float32)
        larger = np.isfinite(sums) & (np.abs(sums) > np.abs(exact))
        sums = np.where(larger, np.nextafter(sums, np.float32(0)), sums)
        return TensorHandle(sums, tl.float32)

    monkeypatch.setattr(InterpreterBuilder, "create_dot", create_dot)


@pytest.fixture
def poisoned(monkeypatch):
    """New memory shows what is not written."""
    empty, strided = torch.empty, torch.Tensor.new_empty_strided
    monkeypatch.setattr(torch, "empty", lambda *a, **k: empty(*a, **k).fill_(77))
    monkeypatch.setattr(
        torch.Tensor, "new_empty_strided", lambda *a, **k: strided(*a, **k).fill_(77)
    )
