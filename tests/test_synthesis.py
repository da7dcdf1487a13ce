"""Models in use: finding and loading them, codes of seeds, views, and portraits that lead back to a model."""

import os

import numpy as np
import pytest
import torch

from ssgan_core import cameras
from ssgan_core.checkpoints import load_model, save_model
from ssgan_core.errors import SsganError
from ssgan_core.model.codes import Codes
from ssgan_core.model.generator import Output
from ssgan_core.portrait import Portrait
from ssgan_core.synthesis import (
    check_portrait,
    choose_device,
    codes_from_seed,
    find_model,
    load_generator,
    look_around,
    mean_depth,
    model_of_portrait,
    remember_model,
    synthesise,
)

CPU = torch.device("cpu")
FRONT = cameras.label(0.0, 0.0)


@pytest.fixture(scope="module")
def generator(tiny_model):
    return load_generator(tiny_model, CPU)[0]


def portrait_of(generator, sha256, model_path=""):
    return Portrait(codes_from_seed(generator, 0), FRONT, sha256, generator.schema.names, model_path)


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
    seen = list(synthesise(generator, codes, np.repeat(FRONT[None], 3, 0), batch=2))
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
        again = next(synthesise(generator, codes, label[None]))
        assert np.array_equal(view.image, again.image)
        assert np.array_equal(view.mask, again.mask)
    assert not np.array_equal(around[0].image, around[2].image)


def test_mean_depth_divides_by_opacity():
    """Half opaque at z = 2.6 gives a sum of 1.3; a third opaque is background."""
    masks = torch.zeros(1, 2, 2, 2)
    masks[0, 0] = torch.tensor([[0.5, 0.0], [2 / 3, 1.0]])
    masks[0, 1] = 1 - masks[0, 0]
    total = (masks[:, 1:] * 2.6).clone()
    output = Output(torch.zeros(1, 3, 2, 2), masks, total, torch.zeros(1, 3, 2, 2), masks)
    torch.testing.assert_close(mean_depth(output)[0], torch.tensor([[2.6, 2.6], [0.0, 0.0]]))


def test_portrait_of_another_model_is_refused(tiny_model, other_model, generator):
    model, stranger = load_generator(tiny_model, CPU)[1], load_generator(other_model, CPU)[1]
    portrait = portrait_of(generator, model.sha256)
    check_portrait(portrait, model, generator.schema, "p")
    with pytest.raises(SsganError, match="another model"):
        check_portrait(portrait, stranger, generator.schema, "p")


def test_portrait_leads_to_its_model(tiny_model, other_model, generator, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    remembered = remember_model(out, tiny_model)
    assert not os.path.isabs(remembered)
    portrait = portrait_of(generator, "0" * 64, remembered)
    assert model_of_portrait(portrait, out / "a.portrait", None).samefile(tiny_model)
    assert model_of_portrait(portrait, out / "a.portrait", other_model) == other_model
    for lost in ("", "../gone.safetensors"):
        with pytest.raises(SsganError, match="does not lead to its model") as caught:
            model_of_portrait(portrait_of(generator, "0" * 64, lost), out / "a.portrait", None)
        assert "--model" in caught.value.hint


def test_asking_for_a_gpu_without_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(SsganError, match="no usable CUDA"):
        choose_device("cuda")
