"""Learning with truth: reconstruct heads whose generating parameters are known, before the adversarial game and,
fading, beside it.

Synthetic portraits carry what photos lack: the parameters that made them, exact masks and depth. A head's z is
made of its parameters, padded with noise that a fresh mapping ignores (it would have to unlearn it: ignored, the masks'
cross-entropy is 2 % and the pictures' error 1 % lower after the first 2,000 images of the recipe `demo`), so that
sampling z afterwards samples heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ssgan_core import losses
from ssgan_core.config import Config
from ssgan_core.errors import SsganError
from ssgan_core.heads.latent import ChoiceLayout, NumberLayout, choice_layout, number_layout
from ssgan_core.layers import area_average, box_average, dilate
from ssgan_core.model import frames
from ssgan_core.model.codes import Codes
from ssgan_core.model.critic import Critic, Pair
from ssgan_core.model.generator import Output
from ssgan_core.model.traits import KNOTS
from ssgan_core.parts import HEAD_WINDOW, SEEN_THROUGH, SUNKEN
from ssgan_core.training.backdrops import Backdrops
from ssgan_core.training.crops import around_parts, cropped
from ssgan_core.training.data import Batch
from ssgan_core.training.phases import Phases
from ssgan_core.training.pose_scores import PoseScores
from ssgan_core.training.surface_points import draw_points, point_errors

if TYPE_CHECKING:
    from ssgan_core.heads.frames import FrameLayout, WornLayout

_WEIGHTS = {
    "warmup_masks": 1.0,
    "warmup_depth": 3.0,
    "warmup_point_colour": 4.0,
    "warmup_point_depth": 6.0,
    "warmup_point_opening": 0.5,
    "warmup_image": 2.0,
    "warmup_square": 2.5,  # of pictures: large errors, such as a lock in the wrong place, count for more
    "warmup_gradient": 2.0,
}
# How single strands run and what lies behind, no parameter tells. Next to one truth, strands in other places are worse
# than none: with training.texture_weight errors count there at this side, finer ones in their texture.
_UNTOLD = ("background", "hair")
_COARSE_SIDE = 16
_FRINGE = 1 / 64  # of a side: how far around hair single strands may lie, and lashes around eyes
_RIM = 1 / 128  # of a side: how far from outlines of what lies in the skin's openings these begin
# Parts whose every line codes tell: contrast that is right and in the wrong place made plates with dark rims of brows,
# irises black, and fur of collars. So textures do not count there, nor as far around. Where parts are small, the
# critic, which judges places wider than they are, teaches nothing.
_LINES = ("eyes", "brows", "cloth", "hat")
_SMALL = ("eyes", "brows")
_BACKDROP_SIDE = 64  # nothing behind heads is in focus
# Most of an error is fine, and drowns what colour a region has.
_COARSE_WEIGHT = 4.0
_TEXTURE_OCTAVES = 3  # strands, and the locks that they make
# How often a head's base code is exchanged for another head's: the part codes then learn to carry their part
# alone, which is what a later transfer of one part relies on.
_FOREIGN_BASE = 0.3


class Reconstruction(NamedTuple):
    """A batch's heads drawn from their parameters.

    Attributes:
        terms: of the loss.
        loss: their weighted sum.
        output: what was drawn.
        pair: drawn and true pictures as the critic sees them; None without one.
    """

    terms: dict[str, Tensor]
    loss: Tensor
    output: Output
    pair: Pair | None


class Warmup:
    """The reconstruction phase.

    Args:
        critic: judges what is drawn; None where the recipe gives it no weight.
        parameter_count: how many generating parameters the batches carry.
        part_areas: [K + 1] mean area of each part, for the class balance.
        labels: [N, 25] the data's cameras.
        backdrops: read what lies behind heads; None where the recipe does not tell it.

    Raises:
        SsganError: z has no room for so many parameters, or points are asked for and the data has no depth.
    """

    def __init__(
        self,
        phases: Phases,
        parameter_count: int,
        part_areas: Tensor,
        labels: Tensor,
        critic: Critic | None = None,
        backdrops: Backdrops | None = None,
    ) -> None:
        # A generator that no camera turns must be told in z which way a head is seen.
        self.pose = None if phases.generator.has_depth else PoseScores(labels)
        _check_room(phases.config, parameter_count)
        self.phases = phases
        self.critic = critic
        self.backdrops = backdrops
        balance = part_areas.clamp(min=1e-4).rsqrt()
        names = phases.generator.schema.names

        def ids(wanted: tuple[str, ...]) -> Tensor:
            found = [names.index(name) for name in wanted if name in names]
            return torch.tensor(found, dtype=torch.uint8, device=phases.device)

        self.untold, self.lines, self.small = ids(_UNTOLD), ids(_LINES), ids(_SMALL)
        alone = phases.generator.schema.listed_ids(phases.config.training.parts_alone)
        self.cropped = torch.tensor(alone or range(1, len(names)), device=phases.device)
        self.clear = ids(
            tuple(part.name for part in phases.generator.schema.foreground if SEEN_THROUGH in part.merges)
        )
        self.sunken = ids(
            tuple(part.name for part in phases.generator.schema.foreground if {*SUNKEN} & {*part.merges})
        )
        self.rim = max(1, round(_RIM * phases.config.model.resolution))
        self.points = phases.config.training.surface_points
        if self.points and not phases.has_depth:
            raise SsganError(
                "training.surface_points needs depth, which the data lacks", "ssgan synth draws it"
            )
        fringes = phases.generator.fringes
        self.frayed = None if fringes is None else (fringes.frayed.nonzero()[:, 0] + 1).to(torch.uint8)
        self.reach = round(_FRINGE * phases.config.model.resolution)
        self.texture_weight = phases.config.training.texture_weight
        self.balance = (balance / (balance * part_areas).sum()).to(phases.device)

    def reconstruction(self, batch: Batch, rng: torch.Generator) -> Reconstruction:
        """Draw the batch's heads, and compare them with the truth."""
        phases = self.phases
        views = 1 if self.pose else batch.views_a_head()
        crop, shown = None, batch
        if phases.config.training.crop < 1:
            model = phases.config.model
            crop = around_parts(
                batch.masks, phases.config.crop_side, model.render_resolution, rng, self.cropped
            )
            shown = cropped(batch, crop)
        with phases.autocast():
            codes = self.codes(batch, views, rng)
            maps = phases.generator.part_maps(codes, None if crop is None else shown.labels)
            output = phases.generator.render(maps.repeated(views), batch.labels, crop=crop)
        terms = self.losses(output, shown)
        if self.points:
            del terms["warmup_depth"]
            terms |= self._point_terms(batch, codes, views, rng)
        terms["curvature"] = phases.curvature(maps)
        loss = (
            _weighted(terms)
            + self.texture_weight * terms.get("warmup_texture", 0)
            + phases.config.training.curvature_weight * terms["curvature"]
        )
        pair = None
        if self.critic is not None:
            with phases.autocast():
                judged = self._but_small(output.image, shown.masks)
                pair = self.critic.look(judged, shown.normalised_images())
                terms["warmup_critic"] = self.critic.generator_loss(pair)
            loss = loss + phases.config.training.critic_weight * terms["warmup_critic"]
        return Reconstruction(terms, loss, output, pair)

    def backdrop(self, batch: Batch, rng: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Draw what lies behind the batch's heads, without them, and compare small pictures where no head hides it.

        Returns:
            The terms, and their weighted sum.
        """
        model, images = self.phases.config.model, batch.normalised_images()
        side = min(_BACKDROP_SIDE, model.resolution)
        views = 1 if self.pose else batch.views_a_head()
        with self.phases.autocast():
            codes = self.codes(batch, views, rng)
            drawn = self.phases.generator.backdrop(codes, side * model.render_resolution // model.resolution)
        behind = (batch.masks == 0)[:, None].float()
        errors = []
        for picture in drawn:
            picture = picture.repeat_interleave(views, 0).float()
            size = picture.shape[-1]
            bare = (box_average(behind, size) == 1).float()
            errors.append((picture - box_average(images, size)) * bare)
        terms = _error_terms(errors)
        return terms, _weighted(terms)

    def surfaces(self, batch: Batch, rng: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Compare points of the batch's heads without drawing these.

        Returns:
            The terms, and their weighted sum.
        """
        views = batch.views_a_head()
        with self.phases.autocast():
            codes = self.codes(batch, views, rng)
        terms = self._point_terms(batch, codes, views, rng)
        return terms, _weighted(terms)

    def codes(self, batch: Batch, views: int, rng: torch.Generator) -> Codes:
        """Codes of known heads: z is the parameters, whether it is seen mirrored, noise, and what lies behind.

        Without lifting z also says from which side.

        Args:
            views: how many examples in succession are views of one head.
        """
        generator = self.phases.generator
        assert batch.parameters is not None  # the recipe has a warm-up, so the source sends them
        parameters, mirrored = batch.parameters[::views], batch.mirrored[::views]
        z = known_z(parameters, mirrored, self.phases.config.model.latent, rng)
        if self.backdrops is not None:
            numbers = self.backdrops.numbers(batch.normalised_images()[::views], batch.masks[::views])
            z[:, -numbers.shape[1] :] = numbers
        known = parameters.shape[1]
        seen_from = slice(known + 1, known + 3)
        if self.pose is not None:
            z[:, seen_from] = self.pose(batch.labels.cpu())
        z = z.to(self.phases.device)
        codes = generator.map(z)
        foreign = (torch.rand(len(z), 1, generator=rng) < _FOREIGN_BASE).to(codes.base.device)
        if self.pose is not None:
            return self._posed(codes, z, foreign, seen_from, batch.views_a_head())
        base = torch.where(foreign, codes.base.roll(1, 0), codes.base)
        return Codes(base, codes.shape, codes.texture)

    def _posed(self, codes: Codes, z: Tensor, foreign: Tensor, seen_from: slice, views: int) -> Codes:
        """The same exchange where codes hold the pose, too: the foreign base sees the head from the head's own side.

        The parts' codes then say the other head's side, so that parts learn to turn with the base.
        """
        # Rolled by one head, however often it is shown in succession.
        foreign_base, parts = z.roll(views, 0), z.clone()
        parts[:, seen_from] = foreign_base[:, seen_from]
        foreign_base[:, seen_from] = z[:, seen_from]
        base, other = (self.phases.generator.map(x.to(self.phases.device)) for x in (foreign_base, parts))
        return Codes(
            torch.where(foreign, base.base, codes.base),
            torch.where(foreign[..., None], other.shape, codes.shape),
            torch.where(foreign[..., None], other.texture, codes.texture),
        )

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Class-balanced mask cross-entropy, premultiplied depth L1, and the pictures' losses."""
        size = output.low_mask.shape[-1]
        side = min(size, self.phases.generator.render_side)
        truth = losses.real_mask_channels(batch.masks, output.low_mask.shape[1], size, 0.0)
        truth = losses.with_fewer_rays(truth, side)
        balance = self.balance[:, None, None]
        # Rendered shares are weighted, too: weights on the truth alone draw eyes and brows twice as large as they are.
        told = balance * output.low_mask
        told = told / told.sum(1, keepdim=True)
        depth = losses.rendered_depth_channel(output.depth, output.low_mask[:, :1])
        true_depth = losses.with_fewer_rays(losses.real_depth_channel(batch.depths, size), side)
        return {
            "warmup_masks": -(balance * truth * told.clamp(min=1e-3).log()).sum(1).mean(),
            "warmup_depth": F.l1_loss(depth, true_depth) * self.phases.has_depth,
            **self._picture_losses(output, batch),
        }

    def _point_terms(self, batch: Batch, codes: Codes, views: int, rng: torch.Generator) -> dict[str, Tensor]:
        """Errors at points of the parts that learn."""
        told = self._told(batch.masks)[:, 0] > 0
        told &= ~torch.isin(batch.masks, self.clear)  # colours seen through lenses are not the lens'
        parts = len(self.phases.generator.schema.foreground)
        opened = ~dilate(~torch.isin(batch.masks, self.sunken), self.rim)
        points = draw_points(batch, told, opened, parts, self.points, rng)
        learning = torch.zeros_like(points.shown)
        learning[:, self.cropped - 1] = True
        points = points._replace(shown=points.shown & learning)
        with self.phases.autocast():
            errors = point_errors(self.phases.generator, codes, points, views, self.sunken.long() - 1)
        return {f"warmup_point_{name}": error for name, error in errors._asdict().items()}

    def _told(self, masks: Tensor) -> Tensor:
        """Where parameters tell every pixel [B, 1, H, W], 1 or 0: not of hair, of what single strands of it may hide if
        they are drawn, nor of the background."""
        told = ~torch.isin(masks, self.untold)
        if self.frayed is not None:
            told &= ~dilate(torch.isin(masks, self.frayed), self.reach)
        return told[:, None].float()

    def _around(self, parts: Tensor, masks: Tensor) -> Tensor:
        """Where parts are, and as far around as single strands lie [B, 1, H, W], bool."""
        return dilate(torch.isin(masks, parts), self.reach)[:, None]

    def _but_small(self, image: Tensor, masks: Tensor) -> Tensor:
        """The image, whose pixels learn nothing where parts are small."""
        return torch.where(self._around(self.small, masks), image.detach(), image)

    def _picture_losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """L1, square and gradients' L1 of the pictures' errors, sums over both sizes; and the textures' distance."""
        images, size = batch.normalised_images(), output.low_image.shape[-1]
        low = losses.with_fewer_rays(box_average(images, size), min(size, self.phases.generator.render_side))
        errors = [output.image - images, output.low_image - low]
        coarse, texture = [], {}
        if self.texture_weight:
            told = self._told(batch.masks)
            cells = round(_COARSE_SIDE * images.shape[-1] / self.phases.config.model.resolution)
            coarse = [area_average(error, min(max(cells, 1), size)) for error in errors]
            errors = [errors[0] * told, errors[1] * box_average(told, size)]
            sides = [images.shape[-1] >> octave for octave in range(_TEXTURE_OCTAVES)]
            weights = (~self._around(self.lines, batch.masks)).float()
            texture["warmup_texture"] = torch.stack(
                [
                    losses.texture_distance(*(box_average(x, n) for x in (output.image, images, weights)))
                    for n in sides
                ]
            ).sum()
        return _error_terms(errors, coarse) | texture


def known_z(parameters: Tensor, mirrored: Tensor, latent: int, rng: torch.Generator) -> Tensor:
    """z [B, latent] of known heads: their parameters [B, n], a number whose sign says mirrored [B], then noise."""
    z = torch.randn(len(parameters), latent, generator=rng)
    known = parameters.shape[1]
    z[:, :known] = parameters
    z[:, known] = z[:, known].abs() * torch.where(mirrored, -1.0, 1.0)
    return z


def known_numbers(config: Config, parameter_count: int) -> int:
    """How many of z's first numbers say something of a known head.

    Its parameters, whether it is mirrored and, for a generator that no camera turns, two angles.
    """
    return parameter_count + (3 if config.model.lifting == "none" else 1)


def known_choices(config: Config, parameter_count: int) -> ChoiceLayout:
    """How the parameters of synthetic heads say what these chose.

    Raises:
        SsganError: so many parameters are those of other heads than this version draws, or z has no room for them.
    """
    layout = choice_layout()
    _check_parameters(config, parameter_count, layout.directions.shape[1])
    return layout


def known_traits(config: Config, parameter_count: int) -> NumberLayout:
    """How the parameters of synthetic heads say their numbers.

    Raises:
        SsganError: as `known_choices`.
    """
    layout = number_layout(KNOTS)
    _check_parameters(config, parameter_count, layout.directions.shape[1])
    return layout


def known_frames() -> FrameLayout:
    """How the points of synthetic heads lie on the mean head, where the model asks."""
    from ssgan_core.heads.frames import frame_layout  # draws busts, which takes numba; most training does not

    return frame_layout(HEAD_WINDOW, frames.SIDE, frames.RANK)


def known_worn() -> WornLayout:
    """How the points of hats and clothes lie on the mean one of each kind, likewise."""
    from ssgan_core.heads.frames import worn_layout

    return worn_layout(HEAD_WINDOW, frames.WORN_SIDE, frames.WORN_RANK)


def _check_parameters(config: Config, parameter_count: int, drawn: int) -> None:
    _check_room(config, parameter_count)
    if drawn != parameter_count:
        raise SsganError(
            f"the data's heads have {parameter_count} generating parameters, those of this version {drawn}",
            "set model.choices=0 and model.traits=0, or render the data anew with 'ssgan synth'",
        )


def _check_room(config: Config, parameter_count: int) -> None:
    model = config.model
    if known_numbers(config, parameter_count) + model.backdrop > model.latent:
        raise SsganError(
            f"model.latent {model.latent} is too small for {parameter_count} generating parameters"
            + (" and a pose" if model.lifting == "none" else "")
            + (f" and {model.backdrop} numbers of what lies behind" if model.backdrop else "")
        )


def _error_terms(errors: list[Tensor], coarse: list[Tensor] | None = None) -> dict[str, Tensor]:
    """L1, square and gradients' L1 of pictures' errors, summed; of coarse ones L1 and square, with their weight."""
    weighted = [(1.0, error) for error in errors] + [(_COARSE_WEIGHT, error) for error in coarse or []]
    return {
        "warmup_image": torch.stack([weight * error.abs().mean() for weight, error in weighted]).sum(),
        "warmup_square": torch.stack([weight * error.square().mean() for weight, error in weighted]).sum(),
        "warmup_gradient": torch.stack([_steepness(error) for error in errors]).sum(),
    }


def _weighted(terms: dict[str, Tensor]) -> Tensor:
    """The sum of those terms that always weigh the same."""
    return torch.stack([weight * terms[name] for name, weight in _WEIGHTS.items() if name in terms]).sum()


def _steepness(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbours across and down."""
    return (x[..., :, 1:] - x[..., :, :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean()
