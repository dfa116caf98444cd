"""How much memory the calls of a process leave behind for later ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BOUND = 64 * 2**20  # as README says
ROOT = Path(__file__).parents[1]

# A process of its own, as other tests leave results behind. The garbage collector knows of all
# objects but those without references of their own, and of these the containers that it found to
# hold no others.
MEASURED = """
import gc, sys
import numpy as np
import torch
import torchresample as tr

def held():
    gc.collect()
    stack, memory, done = gc.get_objects(), {}, set()
    known = {id(part) for part in stack}
    while stack:
        part = stack.pop()
        if issubclass(type(part), np.ndarray):
            while issubclass(type(part.base), np.ndarray):
                part = part.base
            if part.base is None:
                memory[part.__array_interface__["data"][0]] = part.nbytes
            continue
        if issubclass(type(part), torch.Tensor):
            storage = part.untyped_storage()
            memory[storage.data_ptr()] = storage.nbytes()
            continue
        for child in gc.get_referents(part):
            array = issubclass(type(child), np.ndarray)
            hidden = type(child) in (tuple, dict) and id(child) not in known
            if array or (hidden and id(child) not in done):
                done.add(id(child))
                stack.append(child)
    return sum(memory.values())

torch.set_num_threads(1)

def grey(h, w, dtype=torch.uint8):
    return torch.zeros(1, h, w, dtype=dtype)

rng = np.random.default_rng(int(sys.argv[1]))
tr.resize(grey(9, 9), 5)
before = held()
"""

CALLS = {
    "boxes": """
for i in range(1100):
    left, top = rng.random(2) * 100
    box = left, top, left + 300, top + 300.5
    tr.resize(grey(500, 500), (224, 224), "lanczos5", box=box, like=("pillow", "tf")[i % 2])
""",
    "splines": """
for i in range(1100):
    tr.resize(grey(1, 400 + i % 100, torch.float32), (1, 400 + i // 100), "spline5", like="skimage")
""",
    "long axes": """
for i in range(70):
    tr.resize(grey(1, 300_000 + i), (1, 300), "lanczos3")
""",
    "very long axes": """
for i in range(10):
    tr.resize(grey(1, 1_000_000 + i), (1, 1000), "lanczos3", like=("pillow", "pillow12")[i % 2])
    tr.resize(grey(1_000_000 + i, 1, torch.float32), (1000, 1), like="torch")
""",
    "long results": """
for i in range(10):
    tr.resize(grey(1, 10 + i, torch.float32), (1, 200_000), "lanczos5")
    tr.resize(grey(1, 10 + i), (1, 200_000), "bicubic", like="torch")
""",
    "other dtypes": """
for i in range(70):
    tr.resize(grey(1, 100_000 + i, torch.int16), (1, 300), "lanczos3")
""",
    "gradients": """
for i in range(17):
    box = torch.tensor([0.0, 0.0, 50_000 + i, 1.0], requires_grad=True)
    image = grey(1, 100_000 + i, torch.float32).requires_grad_()
    tr.resize(image, (1, 300), "lanczos3", box=box).sum().backward()
    del box, image
""",
}


@pytest.mark.parametrize("calls", CALLS)
def test_what_is_left_behind_is_bounded(rng, calls):
    code = MEASURED + CALLS[calls] + "print(held() - before)"
    command = [sys.executable, "-W", "ignore", "-c", code, str(rng.integers(2**32))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = int(done.stdout)
    assert 0 <= left <= BOUND, f"{left / 2**20:.1f} MiB are left"


def test_random_crops_leave_no_more_with_all_their_objects(rng):
    # All memory of Python and NumPy that was taken since and is not given back.
    code = """
import gc, sys, tracemalloc
import numpy as np
import torch
import torchresample as tr

torch.manual_seed(int(sys.argv[1]))
torch.set_num_threads(1)
crop = tr.RandomResizedCrop(224, antialias=True)
crop(torch.zeros(1, 400, 500, dtype=torch.uint8))
gc.collect()
tracemalloc.start()
for i in range(5000):
    crop(torch.zeros(1, 400 + i % 40, 500, dtype=torch.uint8))
gc.collect()
print(tracemalloc.get_traced_memory()[0])
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(rng.integers(2**32))]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) <= BOUND, f"{int(done.stdout) / 2**20:.1f} MiB are left"
