"""Recipes: frozen dataclasses of settings, and how they are read from strict YAML."""

from ssgan_core.config.reading import (
    config_from_json,
    config_to_json,
    data_options_from_json,
    dump_config,
    load_config,
    model_config_from_json,
)
from ssgan_core.config.settings import (
    BACKDROP_NUMBERS,
    BACKDROP_WAVES,
    AugmentationConfig,
    Config,
    DataConfig,
    DataOptions,
    DiscriminatorConfig,
    ModelConfig,
    TrainingConfig,
)

__all__ = [
    "BACKDROP_NUMBERS",
    "BACKDROP_WAVES",
    "AugmentationConfig",
    "Config",
    "DataConfig",
    "DataOptions",
    "DiscriminatorConfig",
    "ModelConfig",
    "TrainingConfig",
    "config_from_json",
    "config_to_json",
    "data_options_from_json",
    "dump_config",
    "load_config",
    "model_config_from_json",
]
