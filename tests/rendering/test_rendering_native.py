"""The compiled CPU kernel against the reference, against rays done by hand, against itself, and when it is missing."""

import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rendering_scenes import (
    SCENES,
    WINDOWS,
    assert_agrees,
    assert_places_boundaries,
    leaves,
    lift,
    render_natively,
    scene,
)
from torch import Tensor

from benchmarks.smooth_head import DEPTH_BOUNDS, labels, smooth_head
from ssgan_core.errors import SsganError
from ssgan_core.rendering import Rays, Rendering, camera_rays, kernels, native, reference, render
from ssgan_core.rendering.sampling import Maps


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("name", SCENES)
def test_values_and_gradients_are_the_references(name, monkeypatch):
    """Against double precision between the kernel's own boundaries, with the same small weights left out."""
    monkeypatch.setitem(reference.FEATURE_EPSILON, torch.float64, reference.FEATURE_EPSILON[torch.float32])
    *shape, uniform, importance = SCENES[name]
    assert_agrees(render_natively, *scene(*shape), uniform, importance, "cpu")


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("name", SCENES)
def test_boundaries_are_placed_as_the_reference_does(name):
    *shape, uniform, importance = SCENES[name]
    maps, rays = scene(*shape)
    assert_places_boundaries(lift(maps, rays, uniform, importance)[4], maps, rays, uniform, importance)


@pytest.mark.usefixtures("kernel")
def test_the_public_op_agrees_with_the_reference():
    maps, rays = scene(64, 32, 12, 24, 0.0125, True, batch=1)
    arguments = (maps.features, maps.depth, maps.optical_depth, maps.width, maps.windows, rays)
    ours, theirs = (
        render(*arguments, depth_bounds=DEPTH_BOUNDS, backend=name) for name in ("native", "reference")
    )
    for field in fields(Rendering):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    total = ours.masks.sum(1) + ours.transmittance
    torch.testing.assert_close(total, torch.ones_like(total), atol=2e-6, rtol=0)


@pytest.mark.usefixtures("kernel")
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    parts=st.integers(1, 20),
    size=st.integers(2, 17),
    width=st.floats(1e-4, 0.5),
    gain=st.sampled_from([0.0, 0.1, 1.0, 30.0]),
    yaw=st.floats(-1.5, 1.5),
    uniform=st.integers(2, 24),
    importance=st.integers(0, 24),
    common_window=st.booleans(),
)
def test_whatever_the_sheets_masks_sum_to_one_and_gradients_are_finite(
    seed, parts, size, width, gain, yaw, uniform, importance, common_window
):
    head = smooth_head(size, 3, parts, batch=2, seed=seed)
    windows = head.windows if common_window else WINDOWS[torch.arange(parts) % 4]
    maps = Maps(
        head.features, head.depth, head.optical_depth * gain, torch.tensor(width), windows, common_window
    )
    rays = camera_rays(labels(2, yaw), 5)
    inputs = leaves(maps, rays, torch.float32)
    values = native.render_native(
        Maps(*inputs[:4], windows, common_window), Rays(*inputs[4:]), DEPTH_BOUNDS, uniform, importance
    )
    total = values[1].sum(1) + values[2]
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)
    assert (values[1] >= 0).all()
    assert all(value.isfinite().all() for value in values)
    gradients = torch.autograd.grad([value.square().sum() for value in values], inputs)
    assert all(gradient.isfinite().all() for gradient in gradients)


def ahead(x: float, y: float, z: float, *towards: float) -> Rays:
    direction = torch.nn.functional.normalize(torch.tensor(towards, dtype=torch.float32), dim=0)
    return Rays(torch.tensor([[[x, y, z]]]), direction[None, None], torch.tensor([[0.0, 0.0, -1.0]]))


def flat_sheets(
    kappas: list[float], depths: list[float], rays: Rays, windows: Tensor | None = None
) -> Rendering:
    """Part k has the features (1, k + 1), width .02."""
    parts = len(kappas)
    flat = torch.ones(1, parts, 4, 4)
    features = torch.stack([torch.ones(parts), torch.arange(1.0, parts + 1)], dim=1)
    return render(
        features[None, :, :, None, None].expand(1, parts, 2, 4, 4),
        flat * torch.tensor(depths)[:, None, None],
        flat * torch.tensor(kappas)[:, None, None],
        0.02,
        WINDOWS[:1].repeat(parts, 1) if windows is None else windows,
        rays,
        depth_bounds=(-0.2, 0.2),
        backend="native",
    )


@pytest.mark.usefixtures("kernel")
def test_rays_done_by_hand():
    down = ahead(0.1, 0.05, 2.7, 0, 0, -1)
    opaque = flat_sheets([20.0], [0.03], down)
    assert opaque.masks.item() == pytest.approx(1, abs=1e-6)
    assert opaque.transmittance.item() == pytest.approx(math.exp(-20), rel=1e-4)
    assert opaque.depth.item() == pytest.approx(2.67, abs=0.04)

    ordered = flat_sheets([1.0, 2.0], [0.1, -0.1], down)
    expected = [1 - math.exp(-1), math.exp(-1) * (1 - math.exp(-2))]
    assert ordered.masks[0, :, 0].tolist() == pytest.approx(expected, abs=2e-6)
    assert ordered.features[0, :, 0].tolist() == pytest.approx(
        [sum(expected), expected[0] + 2 * expected[1]], abs=1e-5
    )

    thin_air = flat_sheets([0.0, 0.0], [0.0, 0.0], down)
    assert thin_air.transmittance.item() == 1
    assert not thin_air.masks.any()

    for rays in (ahead(0.9, 0, 2.7, 0, 0, -1), ahead(0, 0, 2.7, 0, 0, 1), ahead(0, 0, 2.7, 1, 0, 0)):
        missed = flat_sheets([5.0, 5.0], [0.0, 0.1], rays)
        assert missed.transmittance.item() == 1
        assert missed.depth.item() == 0
        assert not missed.masks.any()
        assert not missed.features.any()

    grazing = flat_sheets([0.1], [0.0], ahead(-2.0, 0.03, 0.01, 1, 0, 0))
    tau = 0.1 / (0.02 * math.sqrt(2 * math.pi)) * math.exp(-(0.5**2) / 2) * 0.8
    assert grazing.transmittance.item() == pytest.approx(math.exp(-tau), abs=2e-2)

    half = flat_sheets(
        [1.0, 1.0],
        [0.0, 0.1],
        ahead(0.2, 0, 2.7, 0, 0, -1),
        torch.tensor([[-0.4, -0.4, 0.4, 0.4], [-0.4, -0.4, 0.0, 0.4]]),
    )
    assert half.masks[0, :, 0].tolist() == pytest.approx([1 - math.exp(-1), 0], abs=1e-6)


@pytest.mark.usefixtures("kernel")
def test_a_ray_through_nothing_passes_no_gradient_but_to_kappa():
    """A ray that misses the box, one through empty sheets and one through a wall of optical depth 2000."""
    rays = [ahead(0.9, 0, 2.7, 0, 0, -1), ahead(0.1, 0, 2.7, 0, 0, -1), ahead(-0.3, 0, 2.7, 0, 0, -1)]
    joined = Rays(
        *(torch.cat([getattr(r, n) for r in rays], 1) for n in ("origins", "directions")), rays[0].forward
    )
    kappa = torch.zeros(1, 2, 8, 8)
    kappa[..., :3] = 2000
    inputs = [torch.randn(1, 2, 3, 8, 8), torch.zeros(1, 2, 8, 8), kappa]
    inputs = [value.requires_grad_() for value in inputs]
    seen = render(
        *inputs, 0.02, WINDOWS[:2] * 0 + WINDOWS[0], joined, depth_bounds=(-0.1, 0.1), backend="native"
    )
    assert seen.transmittance[0].tolist() == [1, 1, 0]
    gradients = torch.autograd.grad([seen.features.sum(), seen.masks.sum(), seen.depth.sum()], inputs)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[2][..., 4:6].any()
    assert not gradients[1][..., 4:].any()


@pytest.mark.usefixtures("kernel", "threads")
@pytest.mark.parametrize(("batch", "pixels"), [(1, 24), (5, 13)])
def test_the_same_bits_for_any_number_of_threads(batch, pixels):
    maps, rays = scene(32, 16, 12, pixels, 0.02, True, batch)
    runs = []
    for count in (1, 2, 2, 3):
        torch.set_num_threads(count)
        inputs = leaves(maps, rays, torch.float32)
        values = native.render_native(
            Maps(*inputs[:4], maps.windows, True), Rays(*inputs[4:]), DEPTH_BOUNDS, 16, 16
        )
        ones = [torch.linspace(-1, 1, value.numel()).view_as(value) for value in values]
        runs.append([*values, *torch.autograd.grad(values, inputs, ones)])
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("shape", [(2, 3, 5, 6, 6), (1, 1, 1, 2, 2), (1, 2, 33, 5, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_channels_last_and_back(shape, dtype):
    assert native.is_available()
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
    expected = features.detach().permute(0, 1, 3, 4, 2).float()
    for source in (features, features.transpose(0, 4).contiguous().transpose(0, 4)):
        result = native.channels_last(source)
        assert result.is_contiguous()
        assert torch.equal(result, expected)
        (gradient,) = torch.autograd.grad(result, features, 2 * expected)
        assert torch.equal(gradient, 2 * features)


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("asked", ["features", "depth", "optical_depth"])
def test_only_asked_for_gradients_are_computed(asked):
    maps, rays = scene(8, 4, 3, 4, 0.03, True)
    inputs = {name: getattr(maps, name).clone() for name in ("features", "depth", "optical_depth")}
    inputs[asked].requires_grad_()
    seen = render(
        **inputs, width=0.03, windows=maps.windows, rays=rays, depth_bounds=DEPTH_BOUNDS, backend="native"
    )
    (seen.masks.square().sum() + seen.features.square().sum()).backward()
    everything = leaves(maps, rays, torch.float32)
    values = native.render_native(
        Maps(*everything[:4], maps.windows, True), Rays(*everything[4:]), DEPTH_BOUNDS, 16, 16
    )
    (values[1].square().sum() + values[0].square().sum()).backward()
    found = inputs[asked].grad
    assert found is not None
    assert torch.equal(found, everything[list(inputs).index(asked)].grad)


@pytest.mark.usefixtures("kernel")
def test_operators_keep_pytorchs_rules():
    maps, rays = scene(4, 3, 2, 2, None, False)
    maps = Maps(*(value.requires_grad_() for value in list(vars(maps).values())[:4]), maps.windows, False)
    assert native.is_available()
    inputs = (
        maps.features.permute(0, 1, 3, 4, 2), maps.depth, maps.optical_depth, maps.width, maps.windows,
        rays.origins, rays.directions,
    )  # fmt: skip
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.ssgan.channels_last, (maps.features,), test_utils=checks)
    torch.library.opcheck(torch.ops.ssgan.lift, (*inputs, *DEPTH_BOUNDS, 4, 2), test_utils=checks)
    *outputs, boundaries = torch.ops.ssgan.lift(*inputs, *DEPTH_BOUNDS, 4, 2)
    arguments = (
        *(value.detach() for value in (*outputs, *inputs)),
        boundaries,
        *DEPTH_BOUNDS,
        4,
        2,
        True,
    )
    for sheets_and_rays in ((True, False), (False, False), (False, True)):
        torch.library.opcheck(
            torch.ops.ssgan.lift_backward, (*arguments, *sheets_and_rays), test_utils=checks
        )


@pytest.mark.usefixtures("kernel")
def test_second_derivatives_are_refused_with_the_way_out():
    maps, rays = scene(8, 2, 2, 3, 0.03, True)
    depth = maps.depth.clone().requires_grad_()
    seen = render(
        maps.features, depth, maps.optical_depth, 0.03, maps.windows, rays, depth_bounds=DEPTH_BOUNDS
    )
    (gradient,) = torch.autograd.grad(seen.masks.square().sum(), depth, create_graph=True)
    with pytest.raises(RuntimeError, match="backend='reference'"):
        gradient.square().sum().backward()


@pytest.mark.usefixtures("kernel")
def test_auto_takes_the_kernel_where_it_can():
    def picture(dtype: torch.dtype, backend: str) -> Rendering:
        head, rays = smooth_head(8, 2, 2, dtype=dtype), camera_rays(labels(1, dtype=dtype), 4)
        return render(*head.arguments(), 0.02, head.windows, rays, depth_bounds=DEPTH_BOUNDS, backend=backend)

    for dtype, expected in ((torch.float32, "native"), (torch.float64, "reference")):
        ours, theirs = picture(dtype, "auto"), picture(dtype, expected)
        assert all(torch.equal(getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(Rendering))
    with pytest.raises(TypeError, match="float32"):
        picture(torch.float64, "native")


# Everything from here on is about the kernel being absent: caches of their own.


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CXX", sys.executable)  # passes for a compiler
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


def test_without_a_compiler_the_message_says_so(cache, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -O0")
    with pytest.raises(
        SsganError, match=r"not in the cache .*cache/kernels, and there is no C\+\+ compiler 'no-such-"
    ):
        native.build()
    assert not cache.exists()


def test_without_ninja_the_message_says_so(cache, monkeypatch):
    monkeypatch.setattr(kernels.shutil, "which", lambda name: None if name == "ninja" else name)
    monkeypatch.setitem(sys.modules, "ninja", None)
    with pytest.raises(SsganError, match=r"there is no ninja .*pip install ninja"):
        native.build()


def test_a_compiler_that_fails_leaves_its_words_and_nothing_else(cache, monkeypatch):
    monkeypatch.setenv("CXX", "/bin/false")
    stale = native.kernels.library_path().with_suffix(".building")
    stale.mkdir(parents=True)
    (stale / "killed.o").write_bytes(b"half")
    with pytest.raises(SsganError, match=r"compiling it failed .*are in .*\.log") as raised:
        native.build()
    log = Path(raised.value.hint.split(" are in ")[1])
    assert log.read_text()
    assert not native.is_built()
    assert {path.suffix for path in cache.iterdir()} == {".log", ".lock"}


def test_a_cache_that_cannot_be_written_is_named(cache, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("SSGAN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SsganError, match=r"not in the cache .*cannot write .*file/cache/kernels"):
        native.build()


def test_two_builders_compile_once(cache, monkeypatch):
    compiled = []

    def compile_slowly(library: Path, environment: dict[str, str], lock: int, kind: str) -> None:
        compiled.append(library)
        time.sleep(0.3)
        library.write_bytes(b"library")

    monkeypatch.setattr(kernels, "_compile", compile_slowly)
    notes: list[str] = []

    def note(done: int, total: int, note: str = "") -> None:
        notes.append(note)

    builders = [threading.Thread(target=native.build, args=(note,)) for _ in range(3)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(compiled) == 1
    assert native.is_built()
    assert notes == ["compiling the renderer for this machine", "compiled the renderer for this machine"]


def test_the_name_follows_sources_flags_and_processor(monkeypatch, tmp_path):
    name = kernels.library_path().name
    copy = tmp_path / "cuda"
    copy.mkdir()
    for source in kernels._files(kernels.TARGETS["cpu"]):
        (copy / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(kernels, "shipped", lambda folder: tmp_path / folder)
    assert kernels.library_path().name == name
    (copy / "lanes.h").write_bytes((copy / "lanes.h").read_bytes() + b"\n")
    names = {name, kernels.library_path().name}
    for attribute, value in (("_FLAGS", ("-O1",)), ("_processor", lambda: "another")):
        monkeypatch.setattr(kernels, attribute, value)
        names.add(kernels.library_path().name)
    assert len(names) == 4
    (copy / "lanes.h").unlink()
    with pytest.raises(SsganError, match=r"lacks cuda/lanes\.h"):
        kernels.library_path()


def test_a_broken_library_in_the_cache_is_named(cache, monkeypatch):
    library = kernels.library_path()
    library.parent.mkdir(parents=True)
    library.write_bytes(b"not a library")
    with pytest.raises(SsganError, match=r"loading .*\.so failed.*delete the file"):
        native._load_library("cpu")


# The CUDA kernels where they cannot be compiled; needs no GPU.


@pytest.fixture
def cuda(cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PyTorch for CUDA 13.0, a GPU, and the path of a toolkit's nvcc, which is not there yet."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(kernels, "_architectures", lambda: "9.0")
    monkeypatch.setattr(kernels, "_USUAL_NVCC", str(tmp_path / "none"))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "toolkit"))
    monkeypatch.delenv("CUDA_PATH", raising=False)
    folder = tmp_path / "toolkit" / "bin"
    folder.mkdir(parents=True)
    return folder / "nvcc"


def install_nvcc(path: Path, release: str) -> None:
    """A compiler that says which release it is, and fails at everything else."""
    path.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Cuda compilation tools, release {release}, V1" && exit 0\nexit 1\n'
    )
    path.chmod(0o755)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_without_a_gpu_the_message_says_so(cache):
    with pytest.raises(SsganError, match="there is no usable GPU"):
        kernels.build(kind="cuda")


def test_without_nvcc_the_message_says_which_to_install(cuda, monkeypatch):
    find = kernels.shutil.which
    monkeypatch.setattr(kernels.shutil, "which", lambda name: None if name == "nvcc" else find(name))
    with pytest.raises(
        SsganError, match=r"no CUDA compiler nvcc .*install the CUDA toolkit 13\.0.*CUDA_HOME"
    ):
        kernels.build(kind="cuda")


@pytest.mark.parametrize("release", ["11.8", "nonsense"])
def test_another_cuda_than_pytorchs_is_named(cuda, release):
    install_nvcc(cuda, release)
    with pytest.raises(
        SsganError, match=r"toolkit/bin/nvcc is of CUDA .* while this PyTorch was made with CUDA 13\.0"
    ):
        kernels.build(kind="cuda")


def test_an_nvcc_that_fails_leaves_its_words(cuda, cache):
    install_nvcc(cuda, "13.2")
    with pytest.raises(SsganError, match=r"compiling it failed .*are in .*lifting-cuda-.*\.log") as raised:
        kernels.build(kind="cuda")
    assert Path(raised.value.hint.split(" are in ")[1]).read_text()
    assert {path.suffix for path in cache.iterdir()} == {".log", ".lock"}


def test_the_name_follows_gpus_and_toolkit(cuda, monkeypatch):
    names = {kernels.library_path("cuda").name}
    for owner, attribute, value in (
        (kernels, "_architectures", lambda: "8.0"),
        (kernels, "NVCC_FLAGS", ("-O1",)),
        (torch.version, "cuda", "13.1"),
    ):
        monkeypatch.setattr(owner, attribute, value)
        names.add(kernels.library_path("cuda").name)
    assert len(names) == 4
    assert all(name.startswith("lifting-cuda-") for name in names)


def test_each_kind_of_device_fails_by_itself_and_warns_once(monkeypatch):
    monkeypatch.setattr(native, "_failures", {"cuda": SsganError("no kernel", "for a reason")})
    monkeypatch.setattr(native, "_warned", set())
    with pytest.warns(
        native.NativeKernelWarning, match=r"slower reference backend: no kernel \(for a reason\)"
    ):
        assert not native.is_available("cuda")
    assert not native.is_available(torch.device("cuda", 0))  # a second warning would be an error


FALLBACK = """
import warnings
import torch
from benchmarks.smooth_head import DEPTH_BOUNDS, labels, smooth_head
from ssgan_core.errors import SsganError
from ssgan_core.rendering import camera_rays, render
from ssgan_core.rendering.native import NativeKernelWarning

head, rays = smooth_head(8, 2, 2), camera_rays(labels(1), 4)
def picture(backend):
    return render(*head.arguments(), 0.02, head.windows, rays, depth_bounds=DEPTH_BOUNDS, backend=backend)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    seen = [picture("auto"), picture("auto")]
assert [w.category for w in caught] == [NativeKernelWarning], caught
assert "slower reference" in str(caught[0].message) and "no-such-compiler" in str(caught[0].message), caught[0]
assert torch.equal(seen[1].features, picture("reference").features)
try:
    picture("native")
except SsganError as error:
    assert "not in the cache" in error.message and "no C++ compiler" in error.message, error
else:
    raise AssertionError("native rendered without a kernel")
"""


def test_auto_falls_back_with_one_warning_and_native_does_not(cache, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", FALLBACK], cwd=root, check=True, timeout=120)
