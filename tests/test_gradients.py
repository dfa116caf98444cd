"""Gradients of first and second order, and the operator under torch's compilers."""

import numpy as np
import oracles
import pytest
import torch

import torchresample as tr
from torchresample import ops
from torchresample.profiles import PROFILES

PAIRS = [
    pytest.param(like, method, antialias, id=f"{like}-{method}-{antialias}")
    for like, profile in PROFILES.items()
    for method, spec in profile.methods.items()
    for antialias in spec.antialias
]


# torch's forward mode defines its own decompositions with the torch.jit that it deprecates.
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")


def operator(x, size, method, like, antialias, boundary=None, box=None):
    """The linear operator itself: skimage's clamp, which follows it, has kinks."""
    boundary = boundary or PROFILES[like].boundary
    return ops.resample(x, size, method, like, antialias, boundary, box, None, False, False)


@forward_mode
@pytest.mark.parametrize(("like", "method", "antialias"), PAIRS)
def test_gradcheck(rng, like, method, antialias):
    x = torch.from_numpy(rng.standard_normal((2, 5, 6))).requires_grad_()

    def call(t):
        return operator(t, (3, 8), method, like, antialias)

    assert torch.autograd.gradcheck(call, x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(call, x)


@pytest.mark.parametrize(("like", "method", "antialias"), PAIRS)
def test_adjoint(rng, like, method, antialias):
    """``<A x, y> = <x, A' y>`` at sizes that have full windows, edges and several blocks."""
    for h, w, *size in [(90, 40, 37, 111), (1, 70, 5, 1)]:
        x = torch.from_numpy(rng.standard_normal((h, w))).requires_grad_()
        result = operator(x, size, method, like, antialias)
        y = torch.from_numpy(rng.standard_normal(size))
        (gradient,) = torch.autograd.grad(result, x, y)
        scale = result.abs().sum() + 1
        assert abs((result * y).sum() - (gradient * x).sum()) <= 1e-12 * scale


@pytest.mark.parametrize("boundary", PROFILES["pillow"].boundaries)
def test_adjoint_of_boundary_rules(rng, boundary):
    x = torch.from_numpy(rng.standard_normal((9, 30))).requires_grad_()
    result = operator(x, (4, 77), "lanczos3", "pillow", True, boundary, (0.5, 1.0, 29.5, 8.0))
    y = torch.from_numpy(rng.standard_normal(result.shape))
    (gradient,) = torch.autograd.grad(result, x, y)
    assert abs((result * y).sum() - (gradient * x).sum()) <= 1e-12 * (result.abs().sum() + 1)


@pytest.mark.parametrize("antialias", [True, False])
def test_gradient_equals_interpolate(rng, antialias):
    x = torch.from_numpy(rng.standard_normal((2, 3, 41, 30))).requires_grad_()
    y = torch.from_numpy(rng.standard_normal((2, 3, 17, 55)))
    ours = torch.autograd.grad(
        tr.resize(x, (17, 55), "bicubic", like="torch", antialias=antialias), x, y
    )
    theirs = torch.autograd.grad(oracles.aten(x, (17, 55), "bicubic", antialias), x, y)
    assert (ours[0] - theirs[0]).abs().max() <= 1e-12 * y.abs().max() * 10


def layouts(dtype: torch.dtype) -> list[torch.Tensor]:
    base = (torch.rand(2, 3, 9, 7) * 255).to(dtype)
    return [
        base,
        base.contiguous(memory_format=torch.channels_last),
        base[0, 0],
        base[0].permute(2, 1, 0),
        torch.stack([base, base], dim=-1)[..., 0],
        base[:, :, 2:, 1:],
        base[None, None],
        base.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)[0],
    ]


# opcheck of torch 2.15 itself warns so, of any operator whose input requires a gradient.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.uint8])
@pytest.mark.parametrize("box", [None, (0.5, 1.0, 5.0, 6.5)])
def test_opcheck(rng, dtype, box):
    for x in layouts(dtype):
        x = x.requires_grad_() if dtype.is_floating_point else x
        for method, boundary in (("bicubic", "wrap"), ("nearest", "renormalize")):
            arguments = (x, (5, 11), method, "pillow", method == "bicubic", boundary, box)
            arguments += (None, False, False) if box is None else ((1, 0, 9, 12), True, False)
            torch.library.opcheck(ops.operator, arguments)


def test_gradients_of_every_layout_agree(rng):
    for x in layouts(torch.float64):
        plain = x.clone(memory_format=torch.contiguous_format).requires_grad_()
        strided = x.detach().requires_grad_()
        for t in (plain, strided):
            tr.resize(t, (5, 11), "lanczos3").square().sum().backward()
        assert torch.allclose(plain.grad, strided.grad, rtol=0, atol=1e-11)


@pytest.mark.parametrize("like", PROFILES)
def test_compile_with_changing_sizes(rng, like):
    def both(x, size):
        return tr.resize(x, size, like=like) + 1

    torch._dynamo.reset()
    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    sizes = rng.integers(2, 70, (12, 4))  # more than the 8 recompilations that torch allows
    for h, w, new_h, new_w in (tuple(int(n) for n in row) for row in sizes):
        size = (new_h, new_w) if h % 2 else new_h
        x = torch.from_numpy(rng.random((2, 3, h, w))).requires_grad_()
        result = compiled(x, size)
        assert torch.equal(result, both(x, size))
        compiled_grad = torch.autograd.grad(result.square().sum(), x)[0]
        assert torch.equal(compiled_grad, torch.autograd.grad(both(x, size).square().sum(), x)[0])


# Inductor of torch 2.11 imports what it deprecates itself.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_compiled_module_and_export(rng):
    module = tr.Resize(16, "lanczos3", max_size=40)
    x = torch.from_numpy(rng.random((3, 20, 33))).float()
    assert torch.equal(torch.compile(module, fullgraph=True)(x), module(x))
    h, w = torch.export.Dim("h", min=2, max=4000), torch.export.Dim("w", min=2, max=4000)

    class Fixed(torch.nn.Module):
        def forward(self, x):
            return tr.resize(x, (16, 24), "lanczos3")

    exported = torch.export.export(Fixed(), (x,), dynamic_shapes=({1: h, 2: w},))
    y = torch.from_numpy(rng.random((3, 90, 14))).float()
    assert torch.equal(exported.module()(y), Fixed()(y))
    assert torch.equal(torch.export.export(module, (x,)).module()(x), module(x))


def test_compile_with_changing_boxes(rng):
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda x, box: tr.resize(x, (5, 6), box=box), fullgraph=True, backend="aot_eager"
    )
    for box in ((0.0, 0.0, 9.5, 9.0), (1.5, 2.0, 30.0, 20.0), (3, 4, 9, 10), None, (5, 6, 20, 18)):
        x = torch.from_numpy(rng.random((3, 20, 30)))
        assert torch.equal(compiled(x, box), tr.resize(x, (5, 6), box=box))


def test_vmap_over_grey_images(rng):
    stack = torch.from_numpy(rng.integers(0, 256, (2, 8, 8), dtype=np.uint8))
    for method in PROFILES["opencv"].methods:
        mapped = torch.func.vmap(lambda t, m=method: tr.resize(t, (4, 4), m, like="opencv"))(stack)
        singly = [tr.resize(image, (4, 4), method, like="opencv") for image in stack]
        assert torch.equal(mapped, torch.stack(singly))


def test_vmap(rng):
    x = torch.from_numpy(rng.random((3, 20, 5, 33)))
    mapped = torch.func.vmap(lambda t: tr.resize(t, (7, 9), "bicubic"), in_dims=2)(x)
    assert torch.equal(mapped, tr.resize(x.movedim(2, 0), (7, 9), "bicubic"))


@forward_mode
def test_forward_mode(rng):
    x, t = torch.from_numpy(rng.random((2, 3, 9, 14)))
    value, tangent = torch.func.jvp(lambda image: tr.resize(image, 5), (x,), (t,))
    assert torch.equal(value, tr.resize(x, 5))
    assert torch.equal(tangent, tr.resize(t, 5))
    for batched in (
        torch.func.jvp(torch.func.vmap(lambda image: tr.resize(image, 5)), (x,), (t,)),
        torch.func.vmap(lambda a, b: torch.func.jvp(lambda i: tr.resize(i, 5), (a,), (b,)))(x, t),
    ):
        assert torch.equal(torch.stack(batched), torch.stack([value, tangent]))
    jacobian = torch.func.jacfwd(lambda image: tr.resize(image, 5))(x)
    assert torch.allclose(torch.einsum("chwdij,dij->chw", jacobian, t), tangent)


def test_meta_and_fake_tensors():
    from torch._subclasses.fake_tensor import FakeTensorMode

    x = torch.empty(2, 3, 20, 30, device="meta").contiguous(memory_format=torch.channels_last)
    result = tr.resize(x, (5, 6))
    assert result.shape == (2, 3, 5, 6)
    assert result.is_contiguous(memory_format=torch.channels_last)
    with FakeTensorMode():
        assert tr.resize(torch.empty(3, 20, 30), 10).shape == (3, 10, 15)


def test_integers_have_no_gradient(rng):
    image = torch.from_numpy(rng.integers(0, 256, (3, 9, 9), dtype=np.uint8))
    assert not tr.resize(image, 4).requires_grad


@forward_mode
@pytest.mark.parametrize(("like", "method"), [("pillow", "lanczos3"), ("torch", "bicubic")])
def test_transforms_of_torch_func(rng, like, method):
    """Gradients inside ``torch.func`` are those of autograd, in every composition."""
    x, w = (torch.from_numpy(rng.normal(size=size)) for size in ((2, 9, 11), (2, 5, 7)))

    def resized(x):
        return tr.resize(x, (5, 7), method, like=like)

    def loss(x):
        return (resized(x) ** 3 * w).sum()

    jacobian = torch.autograd.functional.jacobian(resized, x)
    hessian = torch.autograd.functional.hessian(loss, x)
    (gradient,) = torch.autograd.grad(loss(y := x.clone().requires_grad_()), y)
    torch.testing.assert_close(torch.func.grad(loss)(x), gradient)
    torch.testing.assert_close(
        torch.func.vjp(resized, x)[1](w)[0], (jacobian * w[..., None, None, None]).sum((0, 1, 2))
    )
    torch.testing.assert_close(torch.func.jacrev(resized)(x), jacobian)
    torch.testing.assert_close(torch.func.jacfwd(resized)(x), jacobian)
    torch.testing.assert_close(torch.func.hessian(loss)(x), hessian)
    torch.testing.assert_close(torch.func.jacrev(torch.func.jacfwd(loss))(x), hessian)
    torch.testing.assert_close(torch.func.jacrev(torch.func.grad(loss))(x), hessian)
    batch = torch.stack([x, 2 * x])
    each = torch.stack([torch.func.grad(loss)(image) for image in batch])
    torch.testing.assert_close(torch.func.vmap(torch.func.grad(loss))(batch), each)


@forward_mode
def test_compiled_tangents(rng):
    x, tangent = (torch.from_numpy(rng.standard_normal((2, 9, 8))) for _ in range(2))

    def moved(x, tangent):
        return torch.func.jvp(lambda t: tr.resize(t, (4, 5)), (x,), (tangent,))[1]

    compiled = torch.compile(moved, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x, tangent), tr.resize(tangent, (4, 5)))


def test_presets_and_batches_inside_torch_func(rng):
    x = torch.from_numpy(rng.random((3, 9, 11), dtype=np.float32))
    calls = (
        lambda x: tr.ImageClassification(5, 7)(x),
        lambda x: tr.resize_batch([x, x], (4, 4), flips=[False, True]),
        lambda x: tr.resize(x, (5, 7), "bilinear", like="linear-light"),
        lambda x: tr.resize(x, (5, 7), "spline3", like="skimage"),
        lambda x: tr.resize(x[:2], (5, 7), alpha=True),
    )
    for call in calls:
        (expected,) = torch.autograd.grad(call(y := x.clone().requires_grad_()).square().sum(), y)
        ours = torch.func.grad(lambda x, call=call: call(x).square().sum())(x)
        torch.testing.assert_close(ours, expected)


def test_images_that_torch_func_does_not_follow(rng):
    """As where weights are differentiated, and images are constants of the loss."""
    bytes_ = torch.from_numpy(rng.integers(0, 256, (3, 40, 60), dtype=np.uint8))
    planes = bytes_[0], bytes_[:2, :20, :30].permute(1, 2, 0)
    weight = torch.tensor(2.0)
    for call in (
        lambda: tr.resize(bytes_, 9),
        lambda: tr.resize(bytes_.float(), 9),
        lambda: tr.resize(bytes_, 9, "box", like="linear-light"),
        lambda: tr.resize(bytes_.float(), 9, "spline3", like="skimage"),
        lambda: tr.resize(bytes_[:2], 9, alpha=True),
        lambda: tr.ImageClassification(9, 12)(bytes_),
        lambda: tr.resize_batch([bytes_, bytes_[:, 3:]], (9, 9), dtype=torch.float32),
        lambda: tr.resize_nv12(*planes, (9, 9)),
    ):
        total = call().double().sum()

        def loss(weight, call=call):
            return (weight * call().double()).sum()

        for ours in (
            torch.func.grad(loss)(weight),
            torch.func.vmap(torch.func.grad(loss))(weight[None])[0],
            torch.func.grad(lambda w, loss=loss: torch.func.vmap(loss)(w[None]).sum())(weight),
            torch.func.vjp(loss, weight)[1](torch.ones((), dtype=torch.float64))[0],
        ):
            torch.testing.assert_close(ours.double(), total, rtol=1e-6, atol=0)


def test_functional_call(rng):
    x = torch.from_numpy(rng.random((3, 9, 8)))
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1).double(), tr.Resize(4))
    values = {name: value.detach() for name, value in model.named_parameters()}

    def loss(values):
        return torch.func.functional_call(model, values, (x,)).square().sum()

    model(x).square().sum().backward()
    for name, gradient in torch.func.grad(loss)(values).items():
        torch.testing.assert_close(gradient, model.get_parameter(name).grad)


@forward_mode
def test_batches_of_gradients_and_tangents(rng):
    x = torch.from_numpy(rng.standard_normal((2, 5, 6))).requires_grad_()

    def call(t):
        return tr.resize(t, (3, 8), "bicubic")

    options = {"check_batched_grad": True}
    forward = {"check_forward_ad": True, "check_batched_forward_grad": True}
    assert torch.autograd.gradcheck(call, x, **options, **forward)
    assert torch.autograd.gradgradcheck(call, x, **options, check_fwd_over_rev=True)
    vectors = torch.from_numpy(rng.standard_normal((4, 2, 3, 8)))
    (together,) = torch.autograd.grad(call(x), x, vectors, is_grads_batched=True)
    singly = torch.stack([torch.autograd.grad(call(x), x, v)[0] for v in vectors])
    torch.testing.assert_close(together, singly)


@forward_mode
def test_boxes_are_refused_by_torch_func(rng):
    x, box = torch.from_numpy(rng.random((3, 9, 8))), torch.tensor([0.0, 0, 5, 5])
    with pytest.raises(TypeError, match=r"^box must have no forward-mode tangent"):
        torch.func.jacfwd(lambda b: tr.resize(x, (4, 5), box=b).sum())(box)
    for transform in (torch.func.grad, torch.func.jacrev):
        with pytest.raises(TypeError, match=r"^box must not be a tensor that torch\.func"):
            transform(lambda b: tr.resize(x, (4, 5), box=b).sum())(box)
    with pytest.raises(TypeError, match=r"^box must not be a tensor that torch\.func"):
        torch.func.vmap(lambda b: tr.resize(x, (4, 5), box=b).sum())(box[None])
    torch.func.grad(lambda t: tr.resize(t, (4, 5), box=box).sum())(x)
