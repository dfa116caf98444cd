"""Boxes as tensors, and the gradients that they get."""

import numpy as np
import PIL.Image
import pytest
import torch
from torch.autograd import forward_ad
from torch.autograd.gradcheck import GradcheckError
from torch.nn import functional
from torchvision import tv_tensors

import torchresample as tr
from torchresample.boxes import slope_passes
from torchresample.profiles import PROFILES

SMOOTH = [
    pytest.param(like, method, antialias, boundary, id=f"{like}-{method}-{antialias}-{boundary}")
    for like, profile in PROFILES.items()
    for method, spec in profile.methods.items()
    if spec.slopes is not None and like != "pillow12"  # which has the bands of "pillow"
    for antialias in spec.antialias
    for boundary in profile.boundaries or (None,)
]
STEP = 2.0**-14
"""By which edges are moved; boxes are multiples of it, so that float32 has all of them."""

H, W, SIZE = 19, 26, (7, 33)


def smooth_box(rng, size) -> torch.Tensor:
    """Edges about which no pixel's distance crosses a multiple of 1/2, where kernels have kinks."""
    while True:
        low, span = rng.uniform(0, 6, 2), rng.uniform([17, 10], [20, 13])
        box = np.round(np.concatenate([low, low + span]) / STEP) * STEP
        clear = True
        for n_out, lo, hi, n_in in ((size[1], box[0], box[2], W), (size[0], box[1], box[3], H)):
            scale = (hi - lo) / n_out
            centre = lo + (np.arange(n_out) + 0.5) * scale
            distance = np.arange(-n_in, 2 * n_in) + 0.5 - centre[:, None]
            for unit in {1.0, max(scale, 1.0)}:
                halves = 2 * distance / unit
                # An edge moves centres by one step at most, and a wide filter's scale by less.
                clear &= np.abs(halves - np.round(halves)).min() > 4 * STEP * (1 + n_in / n_out)
        if clear:
            return torch.from_numpy(box)


def differences(call, box) -> torch.Tensor:
    """By Richardson's rule, of which the next term is of the fourth power of the step."""

    def central(edge, step):
        moved = torch.zeros(4, dtype=torch.float64)
        moved[edge] = step
        return (call(box + moved) - call(box - moved)) / (2 * step)

    return torch.stack([(4 * central(k, STEP / 2) - central(k, STEP)) / 3 for k in range(4)])


def gradient(call, box) -> torch.Tensor:
    box = box.clone().requires_grad_()
    return torch.autograd.grad(call(box), box)[0]


@pytest.mark.parametrize(("like", "method", "antialias", "boundary"), SMOOTH)
def test_gradient(rng, like, method, antialias, boundary):
    """The slope that differences of live results have."""
    x = torch.from_numpy(rng.uniform(-1, 1, (2, H, W)))
    y = torch.from_numpy(rng.uniform(-1, 1, (2, *SIZE)))
    box = smooth_box(rng, SIZE)

    def call(box):
        options = {"like": like, "antialias": antialias, "boundary": boundary}
        return (tr.resize(x, SIZE, method, box=box, **options) * y).sum()

    # Of the rounding of each difference, whose rows sum to less than 4.
    bound = 16 * 2.0**-52 / STEP * 4 * y.abs().sum()
    assert (gradient(call, box) - differences(call, box)).abs().max() <= bound


@pytest.mark.parametrize("like", ["pillow", "torch"])
def test_gradcheck(rng, like):
    """Torch's own check needs a step that float32 has, as Pillow keeps a box in it.

    The default step of 1e-6 is half the spacing of float32 from 16 to 32, to which the right edge
    is rounded: results are then those of an edge moved by nearly twice the step.
    """
    x = torch.from_numpy(rng.uniform(-1, 1, (H, W)))
    box = smooth_box(rng, SIZE).requires_grad_()

    def call(box):
        return tr.resize(x, SIZE, "bicubic", like=like, box=box)

    # The difference at a step is off by its square times the third derivative.
    torch.autograd.gradcheck(call, box, eps=STEP, atol=1e-5, rtol=1e-4)
    if like == "torch":
        torch.autograd.gradcheck(call, box)
    else:
        with pytest.raises(GradcheckError, match="Jacobian mismatch"):
            torch.autograd.gradcheck(call, box)


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
def test_gradient_equals_grid_sample(rng, method):
    """Of the coordinates that the same box gives, in torch."""
    x = torch.from_numpy(rng.uniform(-1, 1, (1, 2, H, W)))
    y = torch.from_numpy(rng.uniform(-1, 1, (1, 2, *SIZE)))
    box = smooth_box(rng, SIZE)

    def call(box):
        return (tr.resize(x, SIZE, method, like="torch", antialias=False, box=box) * y).sum()

    def sampled(box):
        axes = [
            box[k] + (torch.arange(n, dtype=torch.float64) + 0.5) * ((box[k + 2] - box[k]) / n)
            for k, n in ((0, SIZE[1]), (1, SIZE[0]))
        ]
        across, down = axes[0] * (2 / W) - 1, axes[1] * (2 / H) - 1
        grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)[None]
        options = {"padding_mode": "border", "align_corners": False}
        return (functional.grid_sample(x, grid, method, **options) * y).sum()

    ours, theirs = gradient(call, box), gradient(sampled, box)
    # Places of up to W pixels, rounded four times, in weights of two axes that change by 2 a pixel.
    assert (ours - theirs).abs().max() <= 2.0**-52 * 16 * W * y.abs().sum()


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos3"])
def test_whole_pixels(rng, method):
    """Where Pillow crops, and bilinear weights have kinks: the mean of both sides."""
    x = torch.from_numpy(rng.uniform(-1, 1, (H, W)))
    y = torch.from_numpy(rng.uniform(-1, 1, (8, 9)))
    box = torch.tensor([7.0, 6.0, 16.0, 14.0], dtype=torch.float64)

    def call(box):
        return (tr.resize(x, (8, 9), method, box=box, antialias=False) * y).sum()

    bound = 16 * 2.0**-52 / STEP * 4 * y.abs().sum()
    # Kernels have jumps of their second derivative here, of which differences keep a share.
    rest = 0 if method == "bilinear" else 8 * STEP * y.abs().sum()
    assert (gradient(call, box) - differences(call, box)).abs().max() <= bound + rest


def test_both_gradients(rng):
    """The image's is the same with a box that requires one, and without."""
    x = torch.from_numpy(rng.uniform(-1, 1, (3, H, W))).requires_grad_()
    y = torch.from_numpy(rng.uniform(-1, 1, (3, *SIZE)))
    box = smooth_box(rng, SIZE).requires_grad_()
    alone = torch.autograd.grad(tr.resize(x, SIZE, box=box.tolist()), x, y)[0]
    out = tr.resize(x, SIZE, box=box)
    together, of_box = torch.autograd.grad(out, (x, box), y)
    assert torch.equal(together, alone)
    assert of_box.abs().min() > 0
    assert torch.equal(out, tr.resize(x, SIZE, box=box.detach()))


def test_second_derivatives_of_the_image(rng):
    """They are the same with a box that requires a gradient, and without."""
    x = torch.from_numpy(rng.uniform(-1, 1, (3, H, W))).requires_grad_()
    box = smooth_box(rng, SIZE)

    def penalised(box):
        out = tr.resize(x, SIZE, box=box)
        (slope,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        return torch.autograd.grad(out.sum() + slope.pow(2).sum(), x)[0]

    assert torch.equal(penalised(box.clone().requires_grad_()), penalised(box))


def test_in_place(rng):
    """A result may be changed, as one without a box may."""
    x = torch.from_numpy(rng.uniform(-1, 1, (3, H, W))).requires_grad_()
    y = torch.from_numpy(rng.uniform(-1, 1, (3, *SIZE)))
    box = smooth_box(rng, SIZE).requires_grad_()
    plain = torch.autograd.grad(tr.resize(x, SIZE, box=box) * 2 - 1, (x, box), y)
    changed = torch.autograd.grad(tr.resize(x, SIZE, box=box).mul_(2).sub_(1), (x, box), y)
    assert all(map(torch.equal, plain, changed))


def test_labels_follow(rng):
    """Beside an image whose box gets a gradient: at the same place, without one."""
    image = tv_tensors.Image(torch.rand(3, H, W))
    mask = tv_tensors.Mask(torch.from_numpy(rng.integers(0, 5, (H, W), dtype=np.uint8)))
    corners = tv_tensors.BoundingBoxes([[2.0, 3, 9, 9]], format="XYXY", canvas_size=(H, W))
    box = smooth_box(rng, SIZE)
    moving = tr.Resize(SIZE, box=box.clone().requires_grad_())(image, mask, corners)
    still = tr.Resize(SIZE, box=box.tolist())(image, mask, corners)
    assert all(map(torch.equal, moving, still))
    assert [x.requires_grad for x in moving] == [True, False, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_dtypes(rng, dtype):
    """Sums in float32 at least, whatever the image's dtype; the box keeps its own."""
    x = torch.from_numpy(rng.uniform(-1, 1, (3, H, W))).to(dtype)
    y = torch.from_numpy(rng.uniform(-1, 1, (3, *SIZE))).to(dtype)
    box = smooth_box(rng, SIZE).float().requires_grad_()
    out = tr.resize(x, SIZE, "bicubic", box=box)
    assert out.dtype == dtype
    (ours,) = torch.autograd.grad(out, box, y)
    assert ours.dtype == torch.float32
    wide = box.detach().double().requires_grad_()
    exact = torch.autograd.grad(tr.resize(x.double(), SIZE, "bicubic", box=wide), wide, y.double())
    options = "bicubic", "pillow", True, "renormalize", tuple(wide.tolist())
    for edge, passes in enumerate(slope_passes((H, W), SIZE, *options, torch.float32, 3)):
        sums = np.prod([np.abs(step.band.weight).sum(1).max() for step in passes])
        roundings = sum(step.band.taps + 1 for step in passes)
        allowed = 2.0**-24 * (roundings * sums * y.double().abs().sum() + exact[0][edge].abs())
        assert (ours[edge] - exact[0][edge]).abs() <= allowed


def test_batch(rng):
    """Every image's box has the gradient that it has alone, mirrored or not."""
    images = [torch.from_numpy(rng.uniform(-1, 1, (3, H + k, W))) for k in range(3)]
    boxes = torch.stack([smooth_box(rng, SIZE) for _ in images]).requires_grad_()
    flips, options = [False, True, True], {"like": "torch"}
    y = torch.from_numpy(rng.uniform(-1, 1, (3, 3, *SIZE)))
    mean = {"mean": (0.5,), "std": (0.25,), "dtype": torch.float32}
    for scaled, factor in (({}, 1), (mean, 4)):
        out = tr.resize_batch(images, SIZE, boxes=boxes, flips=flips, **options, **scaled)
        (ours,) = torch.autograd.grad(out, boxes, y.to(out.dtype))
        for i, (image, flip) in enumerate(zip(images, flips, strict=True)):
            box = boxes[i].detach().requires_grad_()
            alone = tr.resize(image, SIZE, box=box, **options)
            (theirs,) = torch.autograd.grad(alone.flip(-1) if flip else alone, box, y[i])
            eps = torch.finfo(out.dtype).eps
            assert (ours[i] / factor - theirs).abs().max() <= eps * 64 * y.abs().sum()


def test_batch_of_separate_boxes(rng):
    """Those that require a gradient get it, beside others that do not, and none at all."""
    images = [torch.from_numpy(rng.uniform(-1, 1, (3, H, W))) for _ in range(3)]
    box = smooth_box(rng, SIZE).requires_grad_()
    out = tr.resize_batch(images, SIZE, boxes=[box, None, (1.0, 2.0, 9.0, 9.0)])
    y = torch.from_numpy(rng.uniform(-1, 1, (3, 3, *SIZE)))
    (ours,) = torch.autograd.grad(out, box, y)
    (theirs,) = torch.autograd.grad(tr.resize(images[0], SIZE, box=box), box, y[0])
    assert torch.equal(ours, theirs)


def test_tv_tensors_and_grey_images(rng):
    x = torch.from_numpy(rng.uniform(-1, 1, (H, W)))
    box = smooth_box(rng, SIZE).requires_grad_()
    ours = torch.autograd.grad(tr.resize(x, SIZE, box=box).sum(), box)[0]
    image = tv_tensors.Image(x)
    theirs = torch.autograd.grad(tr.resize(image, SIZE, box=box).sum(), box)[0]
    assert torch.equal(ours, theirs)


def test_a_learned_crop(rng):
    """Descent by the gradient finds the part of a photograph-like image that another shows."""
    grid = torch.stack(torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij"))
    waves = torch.from_numpy(rng.uniform(0.05, 0.25, (3, 2, 1, 1))).float()
    image = torch.sin((waves * grid).sum(1))
    wanted = torch.tensor([12.0, 9.0, 38.0, 33.0])
    target = tr.resize(image, (16, 16), box=wanted.tolist())
    box = torch.nn.Parameter(wanted + torch.tensor([1.5, -1.0, 1.0, 1.5]))
    optimiser = torch.optim.Adam([box], lr=0.1)
    first = (box - wanted).abs().max().item()
    for _ in range(150):
        optimiser.zero_grad()
        functional.mse_loss(tr.resize(image, (16, 16), box=box), target).backward()
        optimiser.step()
    assert (box - wanted).abs().max() < first / 5


# torch's forward mode defines its own decompositions with the torch.jit that it deprecates.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_refused(rng):
    x, box = torch.rand(3, H, W), torch.tensor([1.0, 2.0, 20.0, 15.0], requires_grad=True)
    with pytest.raises(TypeError, match="image must be floating where box requires a gradient"):
        tr.resize((x * 255).byte(), SIZE, box=box)
    for method, like in (("nearest", "pillow"), ("box", "pillow"), ("bilinear", "opencv")):
        with pytest.raises(ValueError, match=f"gradient: of like='{like}'.*got '{method}'"):
            tr.resize(x, SIZE, method, like=like, box=box)
    for image in (x.permute(1, 2, 0).numpy(), PIL.Image.new("RGB", (W, H))):
        with pytest.raises(TypeError, match="image must be a tensor where box requires a gradient"):
            tr.resize(image, SIZE, box=box)
        assert type(tr.resize(image, SIZE, box=box.detach())) is type(image)
    out = tr.resize(x, SIZE, box=box)
    (once,) = torch.autograd.grad((out**2).sum(), box, create_graph=True)
    with pytest.raises(RuntimeError, match=r"backward through torchresample\.box_gradient"):
        once.sum().backward()
    with pytest.raises(TypeError, match=r"box must not require a gradient inside torch\.func"):
        torch.vmap(lambda image: tr.resize(image, SIZE, box=box))(x)
    with forward_ad.dual_level(), pytest.raises(TypeError, match="box must have no forward-mode"):
        tr.resize(x, SIZE, box=forward_ad.make_dual(box.detach(), torch.ones(4)))


@pytest.mark.parametrize(
    ("box", "error", "match"),
    [
        (torch.zeros(3), ValueError, r"box must have shape \[4\], got \(3,\)"),
        (torch.zeros(1, 4), ValueError, r"box must have shape \[4\], got \(1, 4\)"),
        (torch.tensor([0, 0, 9, torch.nan]), ValueError, "box must be finite"),
        (torch.tensor([0.0, 0, 99, 9]), ValueError, r"box must lie inside the image, \(0, 0, 26"),
        (torch.ones(4, dtype=torch.bool), TypeError, "box must be a dense tensor of four real"),
        (torch.ones(4, device="meta"), TypeError, "box must be a dense tensor of four real"),
        (torch.ones(4).to_sparse(), TypeError, "box must be a dense tensor of four real"),
    ],
)
def test_bad_boxes(box, error, match):
    with pytest.raises(error, match=match):
        tr.resize(torch.rand(3, H, W), SIZE, box=box)
    with pytest.raises(ValueError, match=r"boxes must have|images\[0\], boxes\[0\]: box must"):
        tr.resize_batch([torch.rand(3, H, W)], SIZE, boxes=torch.zeros(2, 4, requires_grad=True))


# torch's compiler itself looks at the gradient of what it resumes with.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_compiled(rng):
    """The values of a box break the graph; what stands before and after is compiled."""
    x, box = torch.rand(3, H, W), torch.tensor([1.0, 2.0, 20.0, 15.0], requires_grad=True)

    def call(x, box):
        return (tr.resize(x + 1, SIZE, box=box) * 2).sum()

    compiled = torch.compile(call, backend="aot_eager")
    ours, theirs = (torch.autograd.grad(run(x, box), box)[0] for run in (compiled, call))
    assert torch.equal(ours, theirs)
