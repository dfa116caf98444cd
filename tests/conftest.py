"""Fresh random inputs in every run, from a seed that the report shows and can be given again."""

import os
import secrets
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure(config):
    # Workers of pytest-xdist inherit the variable, so all of them share one seed.
    os.environ.setdefault("TORCHRESAMPLE_TEST_SEED", str(secrets.randbelow(2**32)))
    torch.set_num_threads(1)


def pytest_report_header(config):
    return f"TORCHRESAMPLE_TEST_SEED={os.environ['TORCHRESAMPLE_TEST_SEED']}"


@pytest.fixture
def rng(request):
    seed = int(os.environ["TORCHRESAMPLE_TEST_SEED"])
    torch.manual_seed(seed)
    return np.random.default_rng([seed, zlib.crc32(request.node.nodeid.encode())])


@pytest.fixture
def shared():
    if not SHARED.exists():
        pytest.skip("the real photographs and weights are not beside this checkout")
    return SHARED
