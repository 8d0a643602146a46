"""Which network is built and what it starts from: the keys under ``model``.

Imports no TensorFlow, so that settings are checked before anything slow begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

from roadmask.errors import SettingError


@dataclass(frozen=True)
class Traits:
    """What is known of an architecture without building it.

    Attributes
    ----------
    stride
        Both sides of an input must be multiples of it.
    encoders
        The classifiers whose layers it may begin with, the default first. Several are a
        choice, `NetworkSettings.backbone`.
    output_strides
        How many input pixels lie between two of the deepest features, the default first.
        Several are a choice, `NetworkSettings.output_stride`; with none it is fixed.
    pretrained
        Whether ``auto`` takes ImageNet weights, because they come with the environment.
    least
        The shortest side that an input may have.
    """

    stride: int
    encoders: tuple[str, ...] = ()
    output_strides: tuple[int, ...] = ()
    pretrained: bool = False
    least: int = 16


BACKBONES = ("xception", "mobilenetv2", "resnet50v2", "efficientnetlite0")
OUTPUT_STRIDES = (16, 8)
ARCHITECTURES: Mapping[str, Traits] = MappingProxyType(
    {
        "unet": Traits(stride=16),
        "unet_wide": Traits(stride=16),
        "deeplabv3plus": Traits(stride=16, encoders=BACKBONES, output_strides=OUTPUT_STRIDES),
        # Its encoder pads nothing, so less than this leaves nothing.
        "inceptionresnetv2_unet": Traits(stride=16, encoders=("inceptionresnetv2",), least=48),
        "efficientnetlite0_unet": Traits(
            stride=32, encoders=("efficientnetlite0",), pretrained=True
        ),
        "lite_unet": Traits(stride=16, encoders=("efficientnetlite0",), pretrained=True),
    }
)

AUTO, IMAGENET = "auto", "imagenet"
KERAS_SUFFIXES = (".h5", ".keras")
TORCH_SUFFIXES = (".pth", ".pt")
# The encoder whose published weights are a PyTorch file.
TORCH_ENCODER = "efficientnetlite0"


@dataclass(frozen=True)
class NetworkSettings:
    """The keys under ``model``.

    Attributes
    ----------
    architecture
        A key of `ARCHITECTURES`.
    backbone
        The encoder, where the architecture leaves a choice; None for its first.
    output_stride
        Of the deepest features, where the architecture leaves a choice; None for its first.
    weights
        What training starts from. ``auto``: ImageNet's where they come with the environment,
        else random numbers; ``imagenet``; a file; None for random numbers.
    """

    architecture: str = "unet"
    backbone: str | None = None
    output_stride: int | None = None
    weights: str | None = AUTO

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise SettingError(
                "model.architecture",
                f"{self.architecture!r} is no network known here",
                f"Write one of {', '.join(ARCHITECTURES)}",
            )
        traits = ARCHITECTURES[self.architecture]
        choices = traits.encoders if len(traits.encoders) > 1 else ()
        self._require_choice("backbone", self.backbone, choices)
        self._require_choice("output_stride", self.output_stride, traits.output_strides)
        self._require_weights(traits)

    def _require_choice(self, name: str, value: object, choices: tuple[object, ...]) -> None:
        if value is None or value in choices:
            return
        if not choices:
            raise SettingError(
                f"model.{name}",
                f"{value!r} has no effect: {self.architecture} leaves no choice of it",
                "Write null, or model.architecture: deeplabv3plus",
            )
        raise SettingError(
            f"model.{name}",
            f"{value!r} is not known for {self.architecture}",
            f"Write one of {', '.join(map(str, choices))}, or null",
        )

    def _require_weights(self, traits: Traits) -> None:
        if self.weights in (None, AUTO):
            return
        if self.weights == IMAGENET:
            if not traits.encoders:
                raise SettingError(
                    "model.weights",
                    f"there are no ImageNet weights for {self.architecture}",
                    "Write null, or a file that a network like it was saved in",
                )
            return
        suffix = PurePath(str(self.weights)).suffix
        allowed = KERAS_SUFFIXES + (TORCH_SUFFIXES if self.encoder == TORCH_ENCODER else ())
        if suffix not in allowed:
            raise SettingError(
                "model.weights",
                f"{self.weights!r} is no file that {self.architecture} can start from",
                f"Write auto, imagenet, null or a file that ends in {', '.join(allowed)}",
            )

    @property
    def encoder(self) -> str | None:
        """The classifier whose layers the network begins with, if any."""
        encoders = ARCHITECTURES[self.architecture].encoders
        return self.backbone or (encoders[0] if encoders else None)

    @property
    def depth(self) -> int | None:
        """The output stride, where there is a choice of it."""
        choices = ARCHITECTURES[self.architecture].output_strides
        return self.output_stride or (choices[0] if choices else None)

    @property
    def stride(self) -> int:
        """Both sides of an input must be multiples of it."""
        return self.depth or ARCHITECTURES[self.architecture].stride

    def require_side(self, key: str, pixels: int) -> None:
        """Refuse pictures that are too small for the network.

        Parameters
        ----------
        key
            What says how large they are.
        pixels
            Their side.

        Raises
        ------
        SettingError
            If they are smaller than the network can take.
        """
        least = ARCHITECTURES[self.architecture].least
        if pixels < least:
            raise SettingError(
                key,
                f"{pixels} pixels are too few for {self.architecture}",
                f"Write {least} or more",
            )

    @property
    def start(self) -> str | None:
        """What training starts from: ``imagenet``, a file, or None for random numbers."""
        if self.weights != AUTO:
            return self.weights
        return IMAGENET if ARCHITECTURES[self.architecture].pretrained else None

    @property
    def file(self) -> str | None:
        """The file that training starts from, if it is one."""
        return None if self.start in (None, IMAGENET) else self.start

    def by_key(self) -> dict[str, Any]:
        """Return the values by their config keys."""
        return {f"model.{field.name}": getattr(self, field.name) for field in fields(self)}
