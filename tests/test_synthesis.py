"""Models in use: finding and loading them, codes of seeds, views, and portraits that lead back to a model."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.checkpoints import load_model, save_model
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Output
from ssgan_core.pictures import read_image
from ssgan_core.portrait import Portrait, load_portrait, save_portrait
from ssgan_core.synthesis import (
    choose_device,
    codes_from_seed,
    find_model,
    load_generator,
    look_around,
    mean_depth,
    open_portrait,
    path_to_model,
    save_portraits,
    synthesise,
)

CPU = torch.device("cpu")
FRONT = cameras.label(0.0, 0.0)


@pytest.fixture(scope="module")
def generator(tiny_model):
    return load_generator(tiny_model, CPU)[0]


def test_run_folder_means_its_newest_model(tiny_model):
    older = tiny_model.with_name("model-000000032.safetensors")
    older.write_bytes(tiny_model.read_bytes())
    assert find_model(tiny_model.parent) == tiny_model
    assert find_model(older) == older
    with pytest.raises(SsganError, match="no model"):
        find_model(tiny_model.with_name("absent.safetensors"))


def test_loaded_generator_repeats_the_saved_one(tiny_model, generator):
    saved = load_model(tiny_model).tensors
    assert all(torch.equal(saved[name], value) for name, value in generator.state_dict().items())
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_a_run_folder_can_be_loaded(tiny_model):
    assert load_generator(tiny_model.parent, CPU)[1].sha256 == load_model(tiny_model).sha256


def test_backend_can_be_chosen(tiny_model):
    assert load_generator(tiny_model, CPU, "grid")[0].config.backend == "grid"


@pytest.mark.parametrize("damage", ["missing", "reshaped", "stranger"])
def test_weights_that_do_not_fit_are_named(tiny_model, tmp_path, damage):
    model = load_model(tiny_model)
    tensors = dict(model.tensors)
    name = sorted(tensors)[0]
    if damage == "missing":
        del tensors[name]
    elif damage == "reshaped":
        tensors[name] = torch.zeros(3, 1, 4, 1, 5)
    else:
        name = "upsampler.stranger"
        tensors[name] = torch.zeros(2)
    broken = tmp_path / "broken.safetensors"
    save_model(broken, tensors, {key: model.metadata[key] for key in ("config", "parts")})
    with pytest.raises(SsganError, match=f"'{name}'"):
        load_generator(broken, CPU)


def test_a_seed_names_one_head(generator):
    """The global random state plays no part, nor do seeds used before."""
    first = codes_from_seed(generator, 5, 0.7)
    torch.manual_seed(1)
    other, again = codes_from_seed(generator, 6, 0.7), codes_from_seed(generator, 5, 0.7)
    assert torch.equal(first.base, again.base)
    assert torch.equal(first.texture, again.texture)
    assert not torch.equal(first.base, other.base)
    assert first.shape.shape == (1, 12, 16)
    assert first.texture.shape == (1, 13, 16)


def test_truncation_moves_codes_to_the_mean(generator):
    mean, half, full = (codes_from_seed(generator, 7, psi).base for psi in (0.0, 0.5, 1.0))
    assert torch.equal(mean, codes_from_seed(generator, 8, 0.0).base)
    torch.testing.assert_close(half, (mean + full) / 2)


def test_views_have_pictures_of_one_size(generator):
    codes = Codes.cat([codes_from_seed(generator, seed) for seed in range(3)])
    seen = synthesise(generator, codes, np.repeat(FRONT[None], 3, 0))
    assert len(seen) == 3
    for view in seen:
        assert view.image.shape == (32, 32, 3)
        assert view.image.dtype == view.mask.dtype == np.uint8
        assert view.mask.shape == view.depth.shape == (32, 32)
        assert len(np.unique(view.mask)) > 3
        covered = view.depth[view.depth > 0]
        assert covered.size
        assert covered.min() > 2.0
        assert covered.max() < 3.4
    assert not np.array_equal(seen[0].image, seen[1].image)


def test_looking_around_equals_synthesising_each_view(generator):
    codes = codes_from_seed(generator, 4)
    labels = cameras.label(np.array([-0.4, 0.0, 0.4]), 0.1)
    around = list(look_around(generator, codes, labels))
    for view, label in zip(around, labels, strict=True):
        again = synthesise(generator, codes, label[None])[0]
        assert np.array_equal(view.image, again.image)
        assert np.array_equal(view.mask, again.mask)
    assert not np.array_equal(around[0].image, around[2].image)


def test_mean_depth_divides_by_opacity():
    """Half opaque at z = 2.6 gives a sum of 1.3; a third opaque is background."""
    masks = torch.zeros(1, 2, 2, 2)
    masks[0, 0] = torch.tensor([[0.5, 0.0], [2 / 3, 1.0]])
    masks[0, 1] = 1 - masks[0, 0]
    total = (masks[:, 1:] * 2.6).clone()
    image = torch.zeros(1, 3, 2, 2)
    output = Output(image, masks, total, image, masks)
    torch.testing.assert_close(mean_depth(output)[0], torch.tensor([[2.6, 2.6], [0.0, 0.0]]))


@pytest.fixture
def portrait(tiny_model, generator, tmp_path):
    """Saves a portrait beside a remembered path to its model; save(model_sha256=..., ...) changes fields."""

    def save(**changes):
        own = Portrait(
            codes_from_seed(generator, 0),
            FRONT,
            load_model(tiny_model).sha256,
            generator.schema.names,
            path_to_model(tmp_path, tiny_model),
        )
        save_portrait(tmp_path / "a.portrait", replace(own, **changes))
        return tmp_path / "a.portrait"

    return save


def test_portrait_leads_to_its_model(tiny_model, portrait):
    found, generator, path = open_portrait(portrait(), None, CPU)
    assert not os.path.isabs(found.model_path)
    assert path.samefile(tiny_model)
    assert torch.equal(found.codes.base, codes_from_seed(generator, 0).base)


def test_named_model_goes_first(tiny_model, portrait):
    lost = portrait(model_path="../gone.safetensors")
    assert open_portrait(lost, tiny_model.parent, CPU)[2] == tiny_model


@pytest.mark.parametrize("lost", ["", "../gone.safetensors"])
def test_portrait_without_its_model(portrait, lost):
    with pytest.raises(SsganError, match="does not lead to its model") as caught:
        open_portrait(portrait(model_path=lost), None, CPU)
    assert "--model" in caught.value.hint


def test_portrait_of_the_shipped_model_needs_no_path(tiny_model, other_model, portrait, monkeypatch):
    lost = portrait(model_path="../gone.safetensors")
    monkeypatch.setattr("ssgan_core.resources._DEFAULT_MODEL_FILE", tiny_model)
    assert open_portrait(lost, None, CPU)[2] == tiny_model
    assert path_to_model(lost.parent, tiny_model) == ""
    assert path_to_model(lost.parent, other_model) != ""


@pytest.mark.parametrize("content", [None, b"", b"x" * 100])
def test_portrait_of_a_run_needs_no_shipped_model(tiny_model, portrait, tmp_path, monkeypatch, content):
    shipped = tmp_path / "default.safetensors"
    if content is not None:
        shipped.write_bytes(content)
    monkeypatch.setattr("ssgan_core.resources._DEFAULT_MODEL_FILE", shipped)
    assert open_portrait(portrait(), None, CPU)[2].samefile(tiny_model)


def test_portrait_of_another_default_says_so(portrait):
    with pytest.raises(SsganError, match="not the default of this version"):
        open_portrait(portrait(model_path=""), None, CPU)


def test_portrait_of_another_model_is_refused(other_model, portrait):
    with pytest.raises(SsganError, match="another model"):
        open_portrait(portrait(), other_model, CPU)


def test_portrait_with_other_parts_is_refused(portrait, generator):
    names = (*generator.schema.names[:-1], "moustache")
    with pytest.raises(SsganError, match="moustache"):
        open_portrait(portrait(part_names=names), None, CPU)


def test_portraits_are_saved_in_batches(tiny_model, tmp_path):
    """Six portraits are two batches; nothing differs from making one alone but the last bit of rounding."""
    seen = []

    def progress(done, total, note=""):
        seen.append((done, total))

    saved = save_portraits(
        tiny_model, range(6), FRONT, tmp_path / "six", psi=1.0, device=CPU, progress=progress
    )
    assert seen == [(i, 6) for i in range(1, 7)]
    assert [row["seed"] for row in saved.portraits] == list(range(6))
    alone = save_portraits(tiny_model, [5], FRONT, tmp_path / "one", psi=1.0, device=CPU).portraits[0]
    assert load_portrait(alone["portrait"]).codes.base.equal(
        load_portrait(saved.portraits[5]["portrait"]).codes.base
    )
    difference = read_image(alone["image"]).astype(int) - read_image(saved.portraits[5]["image"])
    assert np.abs(difference).max() <= 1
    assert read_image(saved.contact).shape == (3 * 32, 6 * 32, 3)


def test_asking_for_a_gpu_without_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(SsganError, match="no usable CUDA"):
        choose_device("cuda")


def test_half_precision_changes_pictures_by_less_than_a_grey_level(generator):
    """What a GPU computes with (`Synthesiser`), here on the CPU."""
    codes, label = codes_from_seed(generator, 5), torch.from_numpy(FRONT[None])
    with torch.inference_mode():
        plain = generator(codes, label)
        with torch.autocast("cpu", torch.float16, cache_enabled=False):
            half = generator(codes, label)
    assert (half.image - plain.image).abs().max() < 2 / 255
    assert (half.mask - plain.mask).abs().max() < 5e-3
    assert not torch.equal(half.image, plain.image)
