"""The settings of a recipe: what each means, its unit and default, and which values cannot work together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ssgan_core.conditions import parse_conditions
from ssgan_core.errors import SsganError

# Half waves across and down in which what lies behind heads is told: of brightness, and of two hues. The constant one
# is not.
BACKDROP_WAVES = (5, 3, 3)
BACKDROP_NUMBERS = sum(waves**2 - 1 for waves in BACKDROP_WAVES)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the generator.

    Attributes:
        resolution: side of the final image, pixels: render_resolution times a power of two.
        render_resolution: side R of the volume-rendered feature map, pixels.
        part_resolution: side S of every part's maps, texels. The networks are pointwise: another S works later.
        latent: width of z and of w.
        mapping_layers: layers from z to w.
        choices: options (hairstyles, hats, ...) that z chooses among and the mapping is told of; 0 = it reads z alone.
            It takes training with truth, and must be the number that the data's heads have.
        traits: a head's numbers (lengths, shares, colours) that z holds and every code tells beside w; 0 = w alone.
            As with choices.
        backdrop: z's last numbers, which say in known heads what lies behind them, told beside w and traits to the
            background alone; 0 = none, and backgrounds that no parameter tells are drawn as their average.
        part_width: channels of the part generators' shape and texture layers.
        base_layers: layers modulated by the code that all parts share.
        shape_layers: layers after them modulated by the part's shape code, up to the opacity.
        texture_layers: layers after those modulated by the part's texture code, up to the features.
        depth_width: channels of the low-frequency depth trunk.
        depth_layers: layers of the depth trunk; the first is modulated by the base code.
        features: channels C of the rendered features; the first three are the low-resolution RGB.
        frequencies: Fourier frequencies of the part networks' position code.
        highest_frequency: the highest of them, cycles across a window; at most part_resolution / 2.
        paint_frequencies: Fourier frequencies beyond these that features alone are made of, not opacity or depth: what
            is painted on a surface may be finer than its outlines. 0 = none.
        highest_paint_frequency: the highest of them, likewise. Maps with fewer texels than two a wave go without.
        frames: shapes and paint are also told where texels lie on the mean head (see model.frames), and numbers of
            sides are told as mirrored heads show them. It needs traits, and parts of their own.
        worn: kinds of hats and clothes, which are choices, told in every code; each kind has a frame of its own, and
            the two parts a relief that smooth depth cannot hold (see model.part_generators). 0 = all share the body's,
            and the mapping alone is told of kinds. It needs choices and frames, and must be the number that the data's
            heads have.
        detail_octaves: octaves of frequencies, from 0.4 cycles a pixel of the image downwards, in which details are
            painted on surfaces (see model.details): hair, fabric. Opacity and depth never hold them.
        detail_directions: directions in every octave; a strand is about a third as many waves long.
        grain: details of two octaves on skin and brows: pores, stubble, single hairs. It needs parts of their own.
        outline_sharpness: factor of the opacities' logits whenever the generator does not learn. Unsure of where
            outlines run, it learns soft ones; 1 leaves them so.
        see_through: glasses hide less of colours than of masks, as their texture codes say: eyes are seen through
            lenses. It needs lifting, and parts of their own.
        fringes: outlines of hair are displaced along its strands (see model.fringes). It needs details, whose noise it
            shares, and a scale of the upsampler.
        upsampler_width: channels of the first upsampling scale; halved at every further scale, at least 16.
        background_layers: layers of the background's feature map.
        shell_width: final Gaussian width w of a shell, world units; never less than one texel is used.
        uniform_boundaries: boundaries placed uniformly along a ray.
        importance_boundaries: boundaries placed where the coarse weights are.
        backend: renderer backend: auto, native, reference or grid (the paper's explicit form).
        lifting: depth (sheets in space, seen by a camera), or none: parts are composed in the image plane, as
            2D compositional generators do, and no camera changes the picture. See docs/ablations.md for the baselines.
        parts: all (those of the data), or one: a single part "head" holds the whole foreground.
        sheets: sheets that hold each part, all of one colour in the masks; more than one needs lifting.
        depth_trunk: smooth (a sheet's depth comes from its own low-frequency trunk, within its part's bounds), or
            shape (from the last of the shape layers, within at least 0.25 world units).
    """

    resolution: int = 256
    render_resolution: int = 64
    part_resolution: int = 64
    latent: int = 512
    mapping_layers: int = 2
    choices: int = 0
    traits: int = 0
    backdrop: int = 0
    part_width: int = 64
    base_layers: int = 2
    shape_layers: int = 3
    texture_layers: int = 4
    depth_width: int = 32
    depth_layers: int = 3
    features: int = 32
    frequencies: int = 48
    highest_frequency: float = 12.0
    paint_frequencies: int = 0
    highest_paint_frequency: float = 40.0
    frames: bool = False
    worn: int = 0
    detail_octaves: int = 0
    detail_directions: int = 12
    grain: bool = False
    outline_sharpness: float = 1.0
    see_through: bool = False
    fringes: bool = False
    upsampler_width: int = 64
    background_layers: int = 3
    shell_width: float = 0.0125
    uniform_boundaries: int = 16
    importance_boundaries: int = 16
    backend: str = "auto"
    lifting: str = "depth"
    parts: str = "all"
    sheets: int = 1
    depth_trunk: str = "smooth"

    def __post_init__(self) -> None:
        for name in ("resolution", "render_resolution", "part_resolution"):
            size = getattr(self, name)
            _require(8 <= size <= 4096, f"model.{name} must lie between 8 and 4096, got {size}")
        for name in ("resolution", "render_resolution"):
            size = getattr(self, name)
            _require(size & (size - 1) == 0, f"model.{name} must be a power of two, got {size}")
        _require(
            self.render_resolution <= self.resolution,
            f"model.render_resolution {self.render_resolution} is larger than model.resolution {self.resolution}",
        )
        counts = (
            "latent mapping_layers part_width base_layers shape_layers texture_layers depth_width depth_layers "
            "frequencies upsampler_width background_layers"
        )
        _require_positive(self, "model", counts)
        for name in ("choices", "traits", "worn"):
            count = getattr(self, name)
            _require(0 <= count <= 4096, f"model.{name} must lie between 0 and 4096, got {count}")
        _require(
            self.backdrop in (0, BACKDROP_NUMBERS),
            f"model.backdrop is {self.backdrop}, but what lies behind is told by {BACKDROP_NUMBERS} numbers or none",
        )
        _require(
            self.backdrop <= self.latent,
            f"model.backdrop {self.backdrop} is more than model.latent {self.latent}: they are z's last numbers",
        )
        _require(self.features >= 3, f"model.features must be at least 3 (the RGB), got {self.features}")
        _require(
            self.depth_layers >= 2, "model.depth_layers must be at least 2: one shared, one of the part's own"
        )
        _require(
            0 < self.highest_frequency <= self.part_resolution / 2,
            f"model.highest_frequency must lie in (0, part_resolution / 2], got {self.highest_frequency}",
        )
        _require(
            0 <= self.paint_frequencies <= 4096,
            f"model.paint_frequencies must lie between 0 and 4096, got {self.paint_frequencies}",
        )
        _require(
            not self.paint_frequencies or self.highest_frequency < self.highest_paint_frequency <= 2048,
            "model.highest_paint_frequency must be more than model.highest_frequency, and at most 2048, "
            f"got {self.highest_paint_frequency}",
        )
        _require(
            not self.frames or (self.traits > 0 and self.parts == "all"),
            "model.frames needs model.traits, which say how heads differ from the mean one, and model.parts=all",
        )
        _require(
            not self.worn or (self.frames and self.worn <= self.choices),
            f"model.worn {self.worn} needs model.frames, and as many model.choices: kinds are options of these",
        )
        _require(
            0 <= self.detail_octaves <= 4,
            f"model.detail_octaves must lie between 0 and 4, got {self.detail_octaves}",
        )
        _require(
            2 <= self.detail_directions <= 48,
            f"model.detail_directions must lie between 2 and 48, got {self.detail_directions}",
        )
        _require(
            self.resolution * 0.8 >= 2**self.detail_octaves,  # 0.4 cycles a pixel and downwards
            f"model.detail_octaves is {self.detail_octaves}: the coarsest has no wave within {self.resolution} pixels",
        )
        _require(
            1 <= self.outline_sharpness <= 10,
            f"model.outline_sharpness must lie between 1 and 10, got {self.outline_sharpness}",
        )
        _require(
            0 < self.shell_width <= 0.1, f"model.shell_width must lie in (0, 0.1], got {self.shell_width}"
        )
        _require(self.uniform_boundaries >= 2, "model.uniform_boundaries must be at least 2")
        _require(self.importance_boundaries >= 0, "model.importance_boundaries must not be negative")
        _require(
            self.backend in ("auto", "native", "reference", "grid"),
            f"model.backend must be auto, native, reference or grid, got '{self.backend}'",
        )
        for name, choices in {
            "lifting": ("depth", "none"),
            "parts": ("all", "one"),
            "depth_trunk": ("smooth", "shape"),
        }.items():
            chosen = getattr(self, name)
            _require(chosen in choices, f"model.{name} is {' or '.join(choices)}, got '{chosen}'")
        _require(1 <= self.sheets <= 32, f"model.sheets must lie between 1 and 32, got {self.sheets}")
        _require(
            self.lifting == "depth" or self.sheets == 1,
            "model.sheets lie behind one another in space: without lifting there is one a part",
        )
        _require(
            not self.see_through or (self.lifting == "depth" and self.parts == "all"),
            "model.see_through needs parts that lie behind one another: model.lifting=depth, model.parts=all",
        )
        _require(
            not self.grain or self.parts == "all",
            "model.grain needs skin that is a part of its own: model.parts=all",
        )
        _require(
            not self.fringes
            or (self.detail_octaves > 0 and self.resolution > self.render_resolution and self.parts == "all"),
            "model.fringes needs model.detail_octaves, and model.resolution larger than model.render_resolution, "
            "and hair that is a part of its own: model.parts=all",
        )

    @property
    def code_width(self) -> int:
        """Width of every code: w, then traits, then kinds of what is worn, then what lies behind."""
        return self.part_code_width + self.backdrop

    @property
    def part_code_width(self) -> int:
        """How many of a code's numbers foreground parts read."""
        return self.latent + self.traits + self.worn


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of the discriminator.

    Attributes:
        width: channels at the image's resolution; doubled at every halving.
        most_width: the most channels.
        camera_width: channels of the camera embedding's hidden layer.
        group: samples over which the minibatch standard deviation is taken; must divide the batch.
        depth_channel: whether rendered depth is judged beside the masks where the data has depth.
        places: side of a grid of places that are judged one by one beside the whole picture, a power of two between
            8 and model.resolution / 2; 0 = the whole picture only.
    """

    width: int = 64
    most_width: int = 256
    camera_width: int = 128
    group: int = 4
    depth_channel: bool = True
    places: int = 0

    def __post_init__(self) -> None:
        _require_positive(self, "discriminator", "width most_width camera_width group")
        _require(
            self.places == 0 or (self.places >= 8 and self.places.bit_count() == 1),
            f"discriminator.places is 0 or a power of two from 8 on, got {self.places}",
        )


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how hard to train. Lengths are in thousands of images shown to the discriminator (kimg).

    Attributes:
        kimg: images after which training is complete.
        batch: images a step.
        warmup_kimg: at first, heads whose generating parameters are known are reconstructed instead (needs a
            data set with parameters and depth, as `ssgan synth` writes); 0 switches it off.
        warmup_views: views of a head that a stored data set shows in succession while heads are reconstructed, in the
            game (truth_kimg), too. Its sheets are computed once for all of them, which is most of a step's work.
        warmup_mapping: the mapping's learning rate meanwhile, in terms of the generator's. Its layers are built to
            learn at a hundredth of the others' pace, as the game wants it: 100 lets them keep up.
        truth_kimg: images after the warm-up in which known heads are reconstructed beside the game, in a share of
            the steps that falls from all to none.
        texture_weight: above 0, known heads' hair and background, whose fine looks no parameter tells, are compared
            coarsely, and by the contrast and direction of details with this weight. 0 compares pixels there,
            too.
        critic_weight: above 0, drawn pictures of known heads are judged beside the true ones (see model.critic), and
            how surely they are told apart is a loss with this weight. The critic learns at the discriminator's rate.
        keep_shapes: whether shapes and codes stay those of the first weights (--init), and how parts look is all that
            is learnt, on outlines as sharp as they are drawn (model.outline_sharpness).
        keep_depths: whether codes, and how far in front parts lie, stay those of the first weights (--init); outlines
            and looks are learnt.
        traits_alone: whether all weights stay those of the first weights (--init) but those that what codes tell beside
            w is multiplied with (model.traits, model.backdrop).
        crop: share of a picture's side that known heads are drawn and compared in during the warm-up: squares around
            random pixels, of each of a head's parts as often as of any other. 1 = whole pictures.
        parts_alone: names of parts, with commas between them: all weights stay those of the first weights (--init) but
            these parts' own, and squares (crop) lie around these parts alone. "" = all parts learn.
        backdrop_alone: whether all weights stay those of the first weights (--init) but the background generator's,
            which learns from small pictures without heads (see training.warmup).
        surface_points: points of every part that known heads show, whose colours and depths are compared where the true
            surface lies, beside what is drawn (see training.surface_points), and instead of drawn depth; and where eyes
            and mouths are seen skin is taught to be clear. 0 = none.
        points_alone: whether heads are not drawn at all, and all weights stay those of the first weights (--init) but
            those that points teach: how parts look, and how far in front their surfaces lie.
        generator_lr, discriminator_lr: Adam learning rates; betas are (0, 0.99).
        mixing: probability that a sample mixes the part codes of two heads.
        r1_interval: steps between two R1 penalties.
        image_gamma: R1 weight on images; 0 means 0.0002 resolution^2 / batch, the size-scaled default.
        mask_gamma: R1 weight on rendered masks; 0 means 1000 (render_resolution / 512)^2.
        curvature_weight: weight of the depth curvature penalty.
        exchange_weight: weight of what leaks out of a part when it alone is exchanged (see training.exchange).
        shell_start: shell width at the start, world units.
        shell_kimg: images over which it shrinks to model.shell_width.
        blur_start, blur_end: Gaussian blur of the judged masks, pixels at render_resolution.
        blur_kimg: images over which the blur falls.
        label_smoothing: how far real masks are moved towards uniform.
        ema_kimg: half-life of the weights' moving average.
        ema_rampup: its half-life is at most this share of the images seen.
        tick_kimg: images between two rows of stats.jsonl.
        snapshot_kimg: images between two snapshots (weights, state, grid); a multiple of ticks works best.
        precision: fp32, or bf16 for the networks on a GPU or a processor with AMX (losses, R1 and the renderer's
            sums stay fp32).
        loss: logistic (non-saturating), or relativistic (R3GAN: real and generated examples judged in pairs of
            one camera, with R2 beside R1).
        lr_ramp_kimg: images over which the learning rates rise from zero; for runs begun with --init-state.
        lr_fall_kimg: images at the end of the run over which they fall to zero.
        layout_prior: whether every part starts where the data usually has it, instead of everywhere.
        render_start: side of the rays cast at first; their pictures are brought to model.render_resolution
            bilinearly. 0 casts all rays from the start.
        render_kimg: images over which it grows to model.render_resolution.
        part_start: side of the parts' maps at first, at least twice model.highest_frequency. 0 takes
            model.part_resolution from the start.
        part_kimg: images over which it grows to model.part_resolution.
    """

    kimg: float = 5000.0
    batch: int = 32
    warmup_kimg: float = 0.0
    warmup_views: int = 1
    warmup_mapping: float = 1.0
    truth_kimg: float = 0.0
    texture_weight: float = 0.0
    critic_weight: float = 0.0
    keep_shapes: bool = False
    keep_depths: bool = False
    traits_alone: bool = False
    crop: float = 1.0
    parts_alone: str = ""
    backdrop_alone: bool = False
    surface_points: int = 0
    points_alone: bool = False
    generator_lr: float = 0.0025
    discriminator_lr: float = 0.002
    mixing: float = 0.3
    r1_interval: int = 16
    image_gamma: float = 0.0
    mask_gamma: float = 0.0
    curvature_weight: float = 0.1
    exchange_weight: float = 0.0
    shell_start: float = 0.05
    shell_kimg: float = 200.0
    blur_start: float = 2.0
    blur_end: float = 0.7
    blur_kimg: float = 500.0
    label_smoothing: float = 0.02
    ema_kimg: float = 10.0
    ema_rampup: float = 0.05
    tick_kimg: float = 4.0
    snapshot_kimg: float = 40.0
    precision: str = "bf16"
    loss: str = "logistic"
    lr_ramp_kimg: float = 0.0
    lr_fall_kimg: float = 0.0
    layout_prior: bool = True
    render_start: int = 0
    render_kimg: float = 200.0
    part_start: int = 0
    part_kimg: float = 200.0

    def __post_init__(self) -> None:
        _require_positive(
            self,
            "training",
            "kimg batch generator_lr discriminator_lr r1_interval shell_start shell_kimg blur_start blur_end "
            "blur_kimg ema_kimg ema_rampup tick_kimg snapshot_kimg warmup_views warmup_mapping render_kimg part_kimg",
        )
        _require(
            self.batch % self.warmup_views == 0,
            f"training.batch {self.batch} is not a multiple of training.warmup_views {self.warmup_views}",
        )
        for name in (
            "warmup_kimg",
            "truth_kimg",
            "texture_weight",
            "critic_weight",
            "image_gamma",
            "mask_gamma",
            "curvature_weight",
            "exchange_weight",
            "lr_ramp_kimg",
            "lr_fall_kimg",
        ):
            _require(getattr(self, name) >= 0, f"training.{name} must not be negative")
        _require(
            self.critic_weight == 0 or self.uses_truth,
            "training.critic_weight needs known heads: set training.warmup_kimg or training.truth_kimg, too",
        )
        _require(
            not self.backdrop_alone or (self.warmup_kimg >= self.kimg and self.critic_weight == 0),
            "training.backdrop_alone draws no heads: it needs a warm-up of all training.kimg, and no critic",
        )
        _require(
            0 <= self.surface_points <= 65536,
            f"training.surface_points must lie between 0 and 65536, got {self.surface_points}",
        )
        _require(
            self.surface_points == 0 or (self.uses_truth and not self.backdrop_alone),
            "training.surface_points needs known heads: set training.warmup_kimg or training.truth_kimg, too",
        )
        _require(
            not self.points_alone
            or (self.surface_points > 0 and self.warmup_kimg >= self.kimg and self.critic_weight == 0),
            "training.points_alone draws no heads: it needs training.surface_points, a warm-up of all training.kimg, "
            "and no critic",
        )
        _require(0 < self.crop <= 1, f"training.crop must lie in (0, 1], got {self.crop}")
        _require(
            self.crop == 1 or (self.warmup_kimg >= self.kimg and not self.backdrop_alone),
            "training.crop below 1 needs known heads: a warm-up of all training.kimg, and no training.backdrop_alone",
        )
        _require(
            not self.parts_alone or (self.warmup_kimg >= self.kimg and not self.backdrop_alone),
            "training.parts_alone needs known heads: a warm-up of all training.kimg, and no training.backdrop_alone",
        )
        _require(0 <= self.mixing <= 1, f"training.mixing is a probability, got {self.mixing}")
        _require(0 <= self.label_smoothing < 1, "training.label_smoothing must lie in [0, 1)")
        _require(
            self.precision in ("fp32", "bf16"), f"training.precision is fp32 or bf16, got '{self.precision}'"
        )
        _require(
            self.loss in ("logistic", "relativistic"),
            f"training.loss is logistic or relativistic, got '{self.loss}'",
        )

    @property
    def uses_truth(self) -> bool:
        """Whether generating parameters of the data's heads are needed."""
        return self.warmup_kimg > 0 or self.truth_kimg > 0


@dataclass(frozen=True)
class AugmentationConfig:
    """Random transformations of all that the discriminator sees, for small data sets.

    Attributes:
        mode: off, adaptive (the probability follows the discriminator's overfitting) or fixed.
        probability: of each transformation when fixed; where it starts when adaptive.
        target: the mean sign of the logits of real examples that adaptive holds.
        kimg: images in which adaptive could move the probability from 0 to 1.
        cutout: blank random squares, too.
    """

    mode: str = "off"
    probability: float = 0.0
    target: float = 0.6
    kimg: float = 500.0
    cutout: bool = False

    def __post_init__(self) -> None:
        _require(
            self.mode in ("off", "adaptive", "fixed"),
            f"augmentation.mode is off, adaptive or fixed, got '{self.mode}'",
        )
        # Why 0.8: see training.augmentation.
        _require(
            0 <= self.probability <= 0.8,
            f"augmentation.probability must lie between 0 and 0.8, got {self.probability}",
        )
        _require(
            self.mode != "off" or self.probability == 0,
            "augmentation.probability is given, but augmentation.mode is off",
        )
        _require(-1 < self.target < 1, f"augmentation.target must lie between -1 and 1, got {self.target}")
        _require_positive(self, "augmentation", "kimg")


@dataclass(frozen=True)
class DataOptions:
    """Which entries of a data set are shown, and how. A data set's options.json holds defaults for any of them.

    Attributes:
        mirror: show every image mirrored too (camera mirrored, left and right parts exchanged).
        balance_yaw: how many times an entry with a rare |yaw| is shown for one with a common |yaw|, at most;
            1 shows all equally often (see dataset.selection.yaw_copies).
        balance_parts: how many times an entry that shows a rare part is shown, at most; 1 shows all equally often
            (see dataset.selection.part_copies).
        skip_duplicates: of entries that `duplicate_of` declares to show the same, use the first only.
        where: conditions on columns of meta.jsonl that an entry must meet (see `conditions`).
        showing: names of parts, with commas between them, of which an entry must show one; "" = any entry.
    """

    mirror: bool = True
    balance_yaw: int = 1
    balance_parts: int = 1
    skip_duplicates: bool = False
    where: dict = field(default_factory=dict)
    showing: str = ""

    def __post_init__(self) -> None:
        for name in ("balance_yaw", "balance_parts"):
            most = getattr(self, name)
            _require(1 <= most <= 64, f"data.{name} must lie between 1 and 64, got {most}")
        parse_conditions(self.where, "data.where")


@dataclass(frozen=True)
class DataConfig(DataOptions):
    """How the data set is read.

    Attributes:
        workers: loader processes; 0 reads in the training process and keeps small data sets in memory.
    """

    workers: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 <= self.workers <= 256, f"data.workers must lie between 0 and 256, got {self.workers}")


@dataclass(frozen=True)
class Config:
    """One recipe."""

    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**31, f"seed must lie between 0 and 2^31 - 1, got {self.seed}")
        batch, group = self.training.batch, self.discriminator.group
        _require(
            batch % group == 0, f"training.batch {batch} is not a multiple of discriminator.group {group}"
        )
        _require(
            self.discriminator.places <= self.model.resolution // 2,
            f"discriminator.places {self.discriminator.places} is more than half of model.resolution "
            f"{self.model.resolution}",
        )
        self._check_crop()
        _require(
            self.training.surface_points == 0
            or (
                self.model.lifting == "depth"
                and self.model.parts == "all"
                and self.model.sheets == 1
                and self.model.depth_trunk == "smooth"
            ),
            "training.surface_points needs parts of one smooth sheet each in space: model.lifting=depth, "
            "model.parts=all, model.sheets=1, model.depth_trunk=smooth",
        )
        self._check_start("render", 8)
        # Fewer texels than two a cycle could not hold what the position code says.
        self._check_start("part", max(8, math.ceil(2 * self.model.highest_frequency)))
        # Relativistic logits mean something only against one another, so their sign tells nothing.
        _require(
            self.training.loss == "logistic" or self.augmentation.mode != "adaptive",
            "augmentation.mode adaptive needs training.loss logistic; with relativistic use fixed",
        )

    @property
    def crop_side(self) -> int:
        """Side of the squares that are compared in the warm-up, rays."""
        return round(self.training.crop * self.model.render_resolution)

    def _check_crop(self) -> None:
        if self.training.crop == 1:
            return
        rays, side = self.training.crop * self.model.render_resolution, self.crop_side
        _require(
            side == rays and side % 4 == 0 and side > 0,
            f"training.crop {self.training.crop} of model.render_resolution {self.model.render_resolution} is "
            f"{rays:g} rays, no multiple of 4",
        )
        _require(
            self.model.lifting == "depth" and self.training.render_start == 0,
            "training.crop below 1 needs model.lifting=depth and all rays from the start: training.render_start=0",
        )

    def _check_start(self, kind: str, least: int) -> None:
        start, end = getattr(self.training, f"{kind}_start"), getattr(self.model, f"{kind}_resolution")
        _require(
            start == 0 or least <= start <= end,
            f"training.{kind}_start must be 0 or lie between {least} and model.{kind}_resolution {end}, got {start}",
        )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise SsganError(message)


def _require_positive(config: Any, section: str, names: str) -> None:
    for name in names.split():
        value = getattr(config, name)
        _require(value > 0, f"{section}.{name} must be positive, got {value}")
