"""States of the process and the installation: every public call gives what it gives elsewhere."""

import copy
import io
import os
import pickle
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn
from torchvision.transforms import v2

import torchresample as tr

ROOT = Path(__file__).parents[1]

CALLS = '''
"""Every public call once, and a digest of what they give."""

import hashlib
import warnings
from itertools import chain

import numpy as np
import PIL.Image
import torch
from torchvision import tv_tensors

import torchresample as tr

warnings.simplefilter("error")
RNG = np.random.default_rng(7)
BYTES = torch.from_numpy(RNG.integers(0, 256, (3, 1100, 1000), dtype=np.uint8))
# Made once: torch's own threads do not outlive a fork, as ours do.
FLOATS = BYTES.float()
SMALL = BYTES[:, :90, :70].contiguous()
IMAGE, MASK = tv_tensors.Image(SMALL), tv_tensors.Mask(SMALL[0])
SCALE = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4)}


def results():
    yield tr.resize(BYTES, 300)  # large enough for two threads
    yield tr.resize(FLOATS, (500, 400), "bicubic", like="torch")
    for like, method in (("opencv", "area"), ("skimage", "spline3"), ("linear-light", "box")):
        yield tr.resize(SMALL, (40, 33), method, like=like)
    yield tr.resize(SMALL[:2], 31, alpha=True)
    array = SMALL.permute(1, 2, 0).contiguous().numpy()
    yield tr.resize(array, (20, 30), "gaussian")
    yield tr.resize(PIL.Image.fromarray(array), (20, 30), "hamming")
    yield tr.resize(IMAGE, (20, 30))
    yield tr.resize(MASK, (20, 30))
    boxes = [[1.0, 2.0, 30.0, 40.0]]
    options = {"format": "XYXY", "canvas_size": (90, 70), "dtype": torch.float32, "device": "cpu"}
    yield tr.resize(tv_tensors.BoundingBoxes(boxes, **options), (20, 30))
    yield tr.Resize((20, 30))(SMALL)
    for dtype in (torch.float32, torch.bfloat16):
        yield tr.ImageClassification(24, 40, dtype=dtype, **SCALE)(SMALL)
        yield tr.ImageClassification(24, 40, dtype=dtype)(PIL.Image.fromarray(array))
        yield tr.ImageClassification(24, 40, dtype=dtype)(SMALL.double())
        yield tr.resize_batch([SMALL, SMALL[:, 9:]], (20, 30), dtype=dtype, **SCALE)
        planes = SMALL[0], SMALL[1:, :45, :35].permute(1, 2, 0)
        yield tr.resize_nv12(*planes, (20, 30), dtype=dtype, **SCALE)
    box = torch.tensor([1.0, 2.0, 60.0, 70.0], dtype=torch.float64, device="cpu")
    box.requires_grad_()
    with torch.enable_grad():
        moved = tr.resize(SMALL.double().clone(), (20, 30), box=box)
        yield from torch.autograd.grad(moved.square().sum(), box)


def drawn():
    torch.manual_seed(3)  # of all threads
    for _ in range(4):
        yield tr.RandomResizedCrop(24, dtype=torch.float32, hflip_prob=0.5)(SMALL)


def digest(draws=True):
    found = hashlib.sha256()
    for out in chain(results(), drawn() if draws else ()):
        if isinstance(out, torch.Tensor):
            out = out.detach()
            out = out.view(torch.int16) if out.dtype == torch.bfloat16 else out
        found.update(np.ascontiguousarray(out).tobytes())
    return found.hexdigest()
'''

PLAIN = "from calls import digest; print(digest())"

STATES = {
    "default dtype bfloat16": "import torch; torch.set_default_dtype(torch.bfloat16)",
    "default dtype float16": "import torch; torch.set_default_dtype(torch.float16)",
    "default dtype float64": "import torch; torch.set_default_dtype(torch.float64)",
    "default device meta": "import torch; import calls; torch.set_default_device('meta')",
    "default device cuda": "import torch; import calls; torch.set_default_device('cuda')",
    "two threads": "import torch; torch.set_num_threads(2)",
    "one thread": "import torch; torch.set_num_threads(1)",
    "deterministic": "import torch; torch.use_deterministic_algorithms(True)",
    "float32 products in less": "import torch; torch.set_float32_matmul_precision('medium')",
    "flush denormals": "import torch; torch.set_flush_denormal(True)",
    "no grad": "import torch; torch.set_grad_enabled(False)",
    "few files": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))",
}
"""What is done before the calls: each gives the bytes of an ordinary process."""

WAYS = {
    "atexit": "import atexit, calls; atexit.register(lambda: print(calls.digest()))",
    "a thread that outlives the main one": """
import threading, time, calls
threading.Thread(target=lambda: (time.sleep(0.5), print(calls.digest()))).start()
""",
    "a daemon thread": """
import threading, calls
thread = threading.Thread(target=lambda: print(calls.digest()), daemon=True)
thread.start(); thread.join()
""",
    "a fork after calls": """
import os, calls
calls.digest()
if os.fork():
    assert os.wait()[1] == 0
else:
    print(calls.digest())
""",
    "a fork while another thread calls": """
import os, threading, time, calls
thread = threading.Thread(target=calls.digest, args=(False,))
thread.start(); time.sleep(0.2)
if os.fork():
    assert os.wait()[1] == 0
    thread.join()
else:
    print(calls.digest(), flush=True)
    os._exit(0)
""",
    "threads at once": """
import calls
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    found = {f.result() for f in [pool.submit(calls.digest, False) for _ in range(8)]}
assert found == {calls.digest(False)}
print(calls.digest())
""",
    "no threads can be started": """
import os, resource, threading, calls
if os.geteuid() == 0:  # for whom there is no limit
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print(calls.digest())
""",
}
"""How the calls are made: each gives the same bytes."""


def run(
    code: str, folder: Path, *, path: Path = ROOT, flags: tuple[str, ...] = (), **options
) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{path}"}
    environment |= options.pop("env", {})
    command = [sys.executable, *flags, "-c", code]
    options |= {"capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run(command, env=environment, **options)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("calls")
    (folder / "calls.py").write_text(CALLS)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def expected(folder) -> str:
    return run(PLAIN, folder)


@pytest.mark.parametrize("state", STATES)
def test_state(folder, expected, state):
    assert run(f"{STATES[state]}\n{PLAIN}", folder) == expected


@pytest.mark.parametrize("way", WAYS)
def test_way_of_calling(folder, expected, way):
    assert run(f"import torch; torch.set_num_threads(2)\n{WAYS[way]}", folder) == expected


def test_optimised_python_without_docstrings(folder, expected):
    assert run(PLAIN, folder, flags=("-OO",)) == expected


def test_without_metadata_and_home_and_rights(folder, expected, tmp_path):
    """A vendored copy that cannot be written to, run by a user that has neither name nor home."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    copied = Path("/var/tmp") / f"torchresample-{os.getpid()}"
    try:
        shutil.copytree(ROOT / "torchresample", copied / "torchresample")
        shutil.copy(folder / "calls.py", copied)
        for path in (copied, *copied.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        become = "import os; os.setgid(65534); os.setuid(65534); os.environ.pop('HOME', None)"
        code = f"""
import sys, torch, torchvision  # which root alone may be able to read
import importlib.metadata as m
find = m.Distribution.from_name
def missing(name):
    if name == "torchresample":
        raise m.PackageNotFoundError(name)
    return find(name)
m.Distribution.from_name = missing
{become}
import torchresample
assert torchresample.__file__.startswith({str(copied)!r})
assert torchresample.__version__
{PLAIN}
"""
        assert run(code, copied, path=copied, cwd="/") == expected
    finally:
        shutil.rmtree(copied)


MODULES = {
    "resize": partial(tr.Resize, 24, "bicubic", box=(0, 0, 9, 9)),
    "classification": partial(tr.ImageClassification, 24, layout=torch.channels_last),
    "crop": partial(tr.RandomResizedCrop, 24, dtype=torch.float32, mean=(0.5,), std=(0.2,)),
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_modules_are_saved_and_copied(rng, name, inside):
    module = nn.Sequential(MODULES[name]()) if inside else MODULES[name]()
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    copies = [torch.load(file, weights_only=False), copy.deepcopy(module), copy.copy(module)]
    copies += [pickle.loads(pickle.dumps(module, protocol)) for protocol in range(2, 6)]
    x = torch.from_numpy(rng.integers(0, 256, (3, 40, 50), dtype=np.uint8))
    for copied in copies:
        assert repr(copied) == repr(module)
        torch.manual_seed(3)
        expected = module(x)
        torch.manual_seed(3)
        out = copied(x)
        assert torch.equal(out, expected)
        assert out.stride() == expected.stride()


@pytest.mark.filterwarnings("ignore:.torch.jit.")  # which is deprecated
@pytest.mark.parametrize("name", MODULES)
def test_torch_jit_is_refused(name):
    """``trace`` would keep the geometry of the first image; ``script`` compiles no such code."""
    for module in (MODULES[name](), nn.Sequential(MODULES[name]())):
        with pytest.raises(TypeError, match=r"torch\.jit\.script; torch\.export"):
            torch.jit.script(module)
        with pytest.raises(RuntimeError, match=r"torch\.jit\.trace"):
            torch.jit.trace(module, torch.zeros(1, 3, 40, 50))
    with pytest.raises(RuntimeError, match=r"torch\.jit\.trace"):
        torch.jit.trace(lambda x: tr.resize_batch([x], (4, 4)), torch.zeros(3, 40, 50))


def scripted(image: torch.Tensor) -> torch.Tensor:
    return tr.resize(image, 9)


def scripted_batch(image: torch.Tensor) -> torch.Tensor:
    return tr.resize_batch([image], (8, 9))


def scripted_frame(luma: torch.Tensor) -> torch.Tensor:
    return tr.resize_nv12(luma, luma.new_zeros(20, 30, 2), (8, 9))


class Calling(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return tr.resize(image, 9) + 1


@pytest.mark.filterwarnings("ignore:.torch.jit.")  # which is deprecated
@pytest.mark.parametrize(
    "caller",
    [tr.resize, tr.resize_batch, tr.resize_nv12, scripted, scripted_batch, scripted_frame,
     Calling()],
)  # fmt: skip
def test_functions_are_refused_by_torch_jit_script(caller):
    with pytest.raises(
        TypeError, match=r"^resize\w* cannot be .* torch\.jit\.script; torch\.export"
    ):
        torch.jit.script(caller)


def test_no_trace_is_left_on_inputs_and_results(rng):
    """NumPy's views of a tensor forbid that its storage ever changes its size."""
    x = torch.from_numpy(rng.integers(0, 256, (1, 2, 40, 50), dtype=np.uint8)).clone()
    outs = []
    for image in (x, x.float(), x.double(), x.contiguous(memory_format=torch.channels_last)):
        for like, method in (("pillow", "nearest"), ("pillow", "bilinear"), ("skimage", "spline2")):
            image = image.clone()
            outs += [image, tr.resize(image, 20, method, like=like)]
    outs += [tr.resize(y := x.clone(), 20, alpha=True), y, tr.resize(y, 20, like="linear-light")]
    outs += [
        tr.ImageClassification(9, 20, mean=(0.5,), std=(0.2,))(y),
        tr.resize_batch([y[0]], (5, 5)),
    ]
    luma, chroma = x[0, 0].clone(), torch.zeros(20, 25, 2, dtype=torch.uint8)
    outs += [luma, chroma, tr.resize_nv12(luma, chroma), tr.resize_nv12(luma, chroma, 9)]
    for out in outs:
        out.resize_(2 * out.numel() + 100)


SIZES = [
    *(np.array(7), torch.tensor(7), np.array([7, 9]), torch.tensor([7, 9])),
    *([np.array(7), torch.tensor(9)], torch.Size([7, 9])),
]


@pytest.mark.parametrize("size", SIZES, ids=repr)
def test_sizes_of_other_kinds(rng, size):
    x = torch.from_numpy(rng.integers(0, 256, (3, 20, 30), dtype=np.uint8))
    plain = [int(v) for v in size] if np.ndim(size) or isinstance(size, list) else int(size)
    expected = tr.resize(x, plain)
    for call in (tr.Resize(size), lambda x: tr.resize(x, size)):
        assert torch.equal(call(x), expected)
        assert torch.equal(call(x), expected)
    assert torch.equal(tr.ImageClassification(6, size)(x), tr.ImageClassification(6, plain)(x))
    torch.manual_seed(0)
    out = tr.RandomResizedCrop(size)(x)
    torch.manual_seed(0)
    assert torch.equal(out, tr.RandomResizedCrop(plain)(x))


@pytest.mark.parametrize("kind", [np.array, np.int32, torch.tensor])
def test_longest_sides_of_other_kinds(rng, kind):
    x = torch.from_numpy(rng.integers(0, 256, (3, 20, 30), dtype=np.uint8))
    for image in (x, x.permute(1, 2, 0).numpy(), PIL.Image.fromarray(x.permute(1, 2, 0).numpy())):
        for size in (7, None):
            expected = np.asarray(tr.resize(image, size, max_size=9))
            for call in (tr.resize, lambda image, size, **o: tr.Resize(size, **o)(image)):
                assert np.array_equal(np.asarray(call(image, size, max_size=kind(9))), expected)
    for wrong in (9.0, True, [9]):
        with pytest.raises(TypeError, match=r"^max_size must be an int"):
            tr.resize(x, 7, max_size=np.array(wrong))
    assert "int" not in repr(tr.Resize([np.int64(7), np.int64(9)]))


def test_antialias_means_nothing_to_nearest(rng):
    x = torch.from_numpy(rng.integers(0, 256, (3, 20, 30), dtype=np.uint8))
    theirs = v2.Resize((7, 9), v2.InterpolationMode.NEAREST, antialias=True)(x)
    ours = tr.Resize((7, 9), v2.InterpolationMode.NEAREST, antialias=True, like="torch")
    assert torch.equal(ours(x), theirs)
    for like, profile in tr.PROFILES.items():
        for method in profile.nearest:
            if like != "skimage":  # whose order 0 smooths first
                smooth = tr.resize(x, (7, 9), method, like=like, antialias=True)
                assert torch.equal(smooth, tr.resize(x, (7, 9), method, like=like))
    indexed = PIL.Image.fromarray(x[0].numpy()).convert("P")
    theirs = v2.Resize((7, 9), v2.InterpolationMode.NEAREST, antialias=True)(indexed)
    assert tr.resize(indexed, (7, 9), "nearest", antialias=True) == theirs


def test_ranges_that_torchvision_takes(rng):
    x = torch.from_numpy(rng.integers(0, 256, (3, 60, 70), dtype=np.uint8))
    for scale in ((0.0, 1.0), (0.0, 1e-9), (1, 1)):
        ours = tr.RandomResizedCrop(9, scale, like="torch")
        theirs = v2.RandomResizedCrop(9, scale)
        for seed in range(20):
            torch.manual_seed(seed)
            out = ours(x)
            torch.manual_seed(seed)
            assert torch.equal(out, theirs(x))
    for pair in (np.array([0.2, 1.0]), torch.tensor([0.2, 1.0], dtype=torch.float64)):
        assert tr.RandomResizedCrop(9, pair).scale == (0.2, 1.0)
    with pytest.warns(UserWarning, match=r"ratio should be \(least, largest\)"):
        turned = tr.RandomResizedCrop(9, ratio=(4 / 3, 3 / 4))
    torch.manual_seed(0)
    out = turned(x)  # of which torchvision draws nothing
    torch.manual_seed(0)
    assert torch.equal(out, tr.RandomResizedCrop(9)(x))
    for scale in ((0.0, 0.0), (-0.1, 1.0), (0.1, 1.1), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match=r"^scale must"):
            tr.RandomResizedCrop(9, scale)


def test_results_never_share_memory(rng):
    """Also a resize that changes nothing gives a copy, where torchvision returns its input."""
    x = torch.from_numpy(rng.integers(0, 256, (3, 20, 30), dtype=np.uint8))
    array = x.permute(1, 2, 0).contiguous().numpy()
    for method in ("bilinear", "nearest"):
        out = tr.resize(x, (20, 30), method)
        assert torch.equal(out, x)
        assert out.data_ptr() != x.data_ptr()
        assert not np.shares_memory(tr.resize(array, (20, 30), method), array)
