"""Where a run's first weights come from, when they are not random: a model, or what another run left to carry on.

From a model come the generator and the settings that its images have annealed; the discriminator is new. It may
make larger pictures than the model did, render more rays, or have finer maps: the 3D part is kept. Where the upsampler
enlarges as often as before, it and the details that the model draws are kept, too; else scales that it lacks begin as
bilinear upsampling. From a carry come generator and discriminator of the same sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core.checkpoints import ModelFile, load_model
from ssgan_core.config import ModelConfig, config_from_json, config_to_json, model_config_from_json
from ssgan_core.errors import SsganError
from ssgan_core.layers import resize_bilinear
from ssgan_core.parts import PartSchema
from ssgan_core.training.augmentation import Adaptation
from ssgan_core.training.carry import Carry, load_carry
from ssgan_core.training.runs import newest_model
from ssgan_core.training.state import TrainingState

# Settings of the generator that change no weight, or only those that `fill` makes anew.
_FREE = {"shell_width", "outline_sharpness", "uniform_boundaries", "importance_boundaries", "backend"}
_SIZES = {"resolution", "render_resolution", "part_resolution"}
_SCALES = "upsampler.scales."
_LAYOUT = "parts.layout_prior"
_CHOICES = "mapping.choices."  # which they are
_OF_CHOICES = "mapping.from_choices."  # what was learnt of them
_TRAITS = "mapping.traits."  # which they are
_OF_CODES = ".styles.weight"  # [G, codes, outputs]
_BACKGROUND = "background."  # reads whole codes
_MEAN = "mapping.mean"  # [codes]
_OF_NOISE = ("details.", "fringes.to_amplitudes.")  # [n * octaves * directions, ...]
_FRINGES = "fringes."
_WAVES = ("background.to_waves.", "background.from_waves.")
_CLEARNESS = "parts.to_clearness."
_FINE = ("parts.to_fine.", "parts.fine_waves")
_GRAIN = "grain."
_WORN = ("parts.frames.worn_", "mapping.choices.worn", "parts.to_relief.")
_FRAMES = ("parts.frames.", "parts.to_place.", "mapping.traits.odd", "mapping.traits.mirror")


class Origin(Protocol):
    """Weights to begin with."""

    def describe(self) -> dict[str, Any]:
        """What a run remembers, to notice that it is continued with another origin; plain JSON values."""
        ...

    def parts(self, of_data: PartSchema) -> PartSchema:
        """The data's parts, in the windows and depths that the weights know; a state to fill is made of them.

        Raises:
            SsganError: the weights know other parts; the message names them.
        """
        ...

    def fill(self, state: TrainingState) -> None:
        """Put the weights into a fresh state.

        Raises:
            SsganError: they do not fit; the message names the setting or tensor.
        """
        ...


@dataclass(frozen=True)
class FromModel:
    """Begin with a model's generator."""

    path: Path
    model: ModelFile
    config: ModelConfig

    @classmethod
    def open(cls, path: Path) -> FromModel:
        """Read a model file, or the newest of a run folder.

        Raises:
            SsganError: there is none, it is damaged, or does not say what it holds.
        """
        path = newest_model(path) if path.is_dir() else path
        model = load_model(path)
        try:
            config = model_config_from_json(model.metadata["config"]["model"], str(path))
        except (KeyError, TypeError) as error:
            raise SsganError(f"{path} does not say which generator it holds") from error
        return cls(path, model, config)

    def describe(self) -> dict[str, Any]:
        return {"model": self.model.sha256}

    def parts(self, of_data: PartSchema) -> PartSchema:
        return _checked_parts(self.path, self.model.metadata.get("parts"), of_data)

    def fill(self, state: TrainingState) -> None:
        _check_settings(
            self.path,
            config_to_json(self.config),
            config_to_json(state.generator.config),
            _FREE
            | _SIZES
            | (set() if self.config.choices else {"choices"})
            | (set() if self.config.traits or self.config.backdrop else {"traits"})
            | (set() if self.config.backdrop else {"backdrop"})
            | (set() if self.config.see_through else {"see_through"})
            | (set() if self.config.fringes else {"fringes"})
            | (set() if self.config.paint_frequencies else {"paint_frequencies", "highest_paint_frequency"})
            | (set() if self.config.grain else {"grain"})
            | (set() if self.config.frames else {"frames"})
            | (set() if self.config.worn else {"worn"})
            | self._changes_of_details(state.generator.config),
        )
        wanted = state.generator.state_dict()
        found = dict(self.model.tensors)
        if not self.config.choices:
            # The mapping begins with what it knew, and learns to listen to choices.
            found |= {name: t for name, t in wanted.items() if name.startswith(_CHOICES)}
            found |= {name: torch.zeros_like(t) for name, t in wanted.items() if name.startswith(_OF_CHOICES)}
        if not self.config.traits:
            found |= {name: t for name, t in wanted.items() if name.startswith(_TRAITS)}
        if not self.config.see_through:
            found |= {name: t for name, t in wanted.items() if name.startswith(_CLEARNESS)}
        if self.config.code_width < state.generator.config.code_width:
            found |= _longer_codes(found, self.config, state.generator.config)
        if self._changes_of_details(state.generator.config):
            fresh_details = {name: t for name, t in wanted.items() if name.startswith(_OF_NOISE)}
            found |= self._details(state.generator.config, found) or fresh_details
        if not self.config.fringes:
            found |= {name: t for name, t in wanted.items() if name.startswith(_FRINGES)}
        if not self.config.paint_frequencies:
            found |= {name: t for name, t in wanted.items() if name.startswith(_FINE)}
        if not self.config.frames:
            found |= {name: t for name, t in wanted.items() if name.startswith(_FRAMES)}
        if not self.config.worn:
            found |= {name: t for name, t in wanted.items() if name.startswith(_WORN)}
        if not self.config.grain or self.config.resolution != state.generator.config.resolution:
            # Grain is as fine as pixels are: others begin with others.
            found |= {name: t for name, t in wanted.items() if name.startswith(_GRAIN)}
        if _LAYOUT in found and found[_LAYOUT].ndim == 3:
            found[_LAYOUT] = resize_bilinear(found[_LAYOUT][None], wanted[_LAYOUT].shape[-1])[0]
        for name, fresh in wanted.items():
            if name.startswith(_SCALES) and name not in found:
                # Without a residual a scale is the bilinear upsampling of what comes in.
                found[name] = torch.zeros_like(fresh) if ".to_rgb." in name else fresh
            if name.startswith(_WAVES) and name not in found:
                found[name] = fresh
        # Smaller pictures need fewer scales.
        found = {name: t for name, t in found.items() if name in wanted or not name.startswith(_SCALES)}
        _check_tensors(self.path, wanted, found)
        for generator in (state.generator, state.average):
            generator.load_state_dict(found)
        state.seen_before = _images_seen(self.path, self.model.metadata)

    def _changes_of_details(self, wanted: ModelConfig) -> set[str]:
        """Settings of details that may be others than the model's, and make them others: the model has none, it has
        those of other pixels, or every direction becomes several."""
        had, changes = self.config, set()
        if wanted.detail_octaves and (not had.detail_octaves or had.resolution != wanted.resolution):
            changes.add("detail_octaves")
        times, rest = divmod(wanted.detail_directions, had.detail_directions)
        if not had.detail_octaves or (times > 1 and rest == 0):
            changes.add("detail_directions")
        return changes

    def _details(self, wanted: ModelConfig, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """The model's details and fringes on the same surfaces in pictures of other pixels; octaves that it lacks begin
        at zero, directions between its own like the nearest.

        Nothing if it has none, or if they were mixed from the features of another scale.
        """
        had = self.config
        if not had.detail_octaves or had.resolution * wanted.render_resolution != (
            had.render_resolution * wanted.resolution
        ):
            return {}
        finer = wanted.resolution.bit_length() - had.resolution.bit_length()
        kept = slice(max(0, finer), min(wanted.detail_octaves, had.detail_octaves + finer))
        details = {}
        for name, tensor in found.items():
            if name.startswith(_OF_NOISE):
                octaves = tensor.unflatten(0, (-1, had.detail_octaves, had.detail_directions))
                octaves = octaves.repeat_interleave(wanted.detail_directions // had.detail_directions, 2)
                grown = octaves.new_zeros(len(octaves), wanted.detail_octaves, *octaves.shape[2:])
                grown[:, kept] = octaves[:, kept.start - finer : kept.stop - finer]
                # Amplitudes are divided by the root of the number of patterns; octaves of zeros are patterns, too.
                details[name] = grown.flatten(0, 2) * (wanted.detail_octaves / had.detail_octaves) ** 0.5
        return details


@dataclass(frozen=True)
class FromCarry:
    """Go on with the generator and discriminator of another run."""

    path: Path
    carry: Carry

    @classmethod
    def open(cls, path: Path) -> FromCarry:
        """Read a pair of files (see carry.load_carry)."""
        return cls(path, load_carry(path))

    def describe(self) -> dict[str, Any]:
        return {"carry": self.carry.sha256}

    def parts(self, of_data: PartSchema) -> PartSchema:
        return _checked_parts(self.path, self.carry.parts, of_data)

    def fill(self, state: TrainingState) -> None:
        carry = self.carry
        recipe = config_from_json(carry.recipe, str(self.path))
        _check_settings(
            self.path, config_to_json(recipe.model), config_to_json(state.generator.config), _FREE
        )
        _check_tensors(self.path, state.generator.state_dict(), carry.generator)
        _check_tensors(self.path, state.discriminator.state_dict(), carry.discriminator)
        for generator in (state.generator, state.average):
            generator.load_state_dict(carry.generator)
        state.discriminator.load_state_dict(carry.discriminator)
        state.seen_before = carry.images
        if recipe.augmentation.mode == "adaptive":
            state.adaptation = Adaptation(carry.augmentation)


def _longer_codes(found: dict[str, Tensor], had: ModelConfig, wanted: ModelConfig) -> dict[str, Tensor]:
    """What depends on codes, for codes that tell parts, or the background, more, of which nothing is known yet."""

    def longer(tensor: Tensor, width: int) -> Tensor:
        told, behind = tensor.tensor_split([had.part_code_width], -1)
        told = F.pad(told, (0, wanted.part_code_width - had.part_code_width))
        both = torch.cat([told, behind], -1)
        return F.pad(both, (0, width - both.shape[-1]))

    grown = {}
    for name, tensor in found.items():
        if name.endswith(_OF_CODES):
            width = wanted.code_width if name.startswith(_BACKGROUND) else wanted.part_code_width
            # Weights are divided by the root of the codes' width.
            scaled = tensor * (width / tensor.shape[1]) ** 0.5
            grown[name] = longer(scaled.mT, width).mT.contiguous()
        elif name == _MEAN:
            grown[name] = longer(tensor, wanted.code_width)
    return grown


def _images_seen(path: Path, metadata: dict[str, Any]) -> int:
    images = metadata.get("images_seen", 0)
    if not isinstance(images, int) or images < 0:
        raise SsganError(f"{path} names no number of images seen, but {images!r}")
    return images


def _checked_parts(path: Path, rows: Any, of_data: PartSchema) -> PartSchema:
    theirs = PartSchema.from_json(rows)
    if theirs.names != of_data.names:
        odd = sorted(set(theirs.names) ^ set(of_data.names)) or ["their order"]
        raise SsganError(
            f"{path} has other parts than the data: {', '.join(odd)}", "begin with random weights instead"
        )
    return theirs


def _check_settings(path: Path, theirs: dict[str, Any], ours: dict[str, Any], free: set[str]) -> None:
    for field in fields(ModelConfig):
        name = field.name
        if name not in free and theirs[name] != ours[name]:
            raise SsganError(
                f"model.{name} is {theirs[name]} in {path}, but {ours[name]} in the recipe",
                f"--set model.{name}={theirs[name]}",
            )


def _check_tensors(path: Path, wanted: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        if name not in found:
            raise SsganError(f"{path} lacks the weights '{name}' that the recipe asks for")
        if tensor.shape != found[name].shape:
            raise SsganError(
                f"{path}: the weights '{name}' have shape {list(found[name].shape)}, "
                f"but the recipe asks for {list(tensor.shape)}"
            )
    if strangers := sorted(set(found) - set(wanted)):
        raise SsganError(f"{path} holds weights that the recipe does not know: '{strangers[0]}'")
