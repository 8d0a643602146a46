"""Pictures as other cameras, other light and other pixels might show them.

They stand in for flights that are not at hand. All follow from the picture and a number alone.
They hold no ground of another kind, so real flights from elsewhere are harder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np

Picture = np.ndarray
Change = Callable[[Picture, np.ndarray, np.random.Generator], tuple[Picture, np.ndarray]]

VEIL = (205, 215, 225)
WARM = (1.9, 1.5, 1.1)
# Mean and deviation of each band: a bright flight, and one almost without contrast.
BRIGHT = ((168, 42), (160, 40), (148, 44))
FLAT = ((118, 14), (116, 13), (112, 12))


def light(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Return a change of the levels alone: float32 in and out, clipped to bytes."""

    def changed(
        picture: Picture, label: np.ndarray, _: np.random.Generator
    ) -> tuple[Picture, np.ndarray]:
        levels = change(picture.astype(np.float32))
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8), label

    return changed


def histogram(moments: tuple[tuple[float, float], ...]) -> Change:
    """Return a change that gives each band of each picture a normal histogram."""

    def changed(
        picture: Picture, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[Picture, np.ndarray]:
        made = np.empty_like(picture)
        for band, (mean, deviation) in enumerate(moments):
            wanted = np.sort(np.clip(rng.normal(mean, deviation, 4096), 0, 255))
            counts = np.bincount(picture[..., band].ravel(), minlength=256)
            shares = (np.cumsum(counts) - counts / 2) / counts.sum()
            table = np.interp(shares, np.linspace(0, 1, len(wanted)), wanted)
            made[..., band] = np.rint(table)[picture[..., band]]
        return made, label

    return changed


def resized(factor: float) -> Change:
    """Return a change to pixels of another size: below 1 they cover more ground."""
    shrink = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC

    def changed(
        picture: Picture, label: np.ndarray, _: np.random.Generator
    ) -> tuple[Picture, np.ndarray]:
        return (
            cv2.resize(picture, None, fx=factor, fy=factor, interpolation=shrink),
            cv2.resize(label, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST),
        )

    return changed


def brighter_roads(levels: float) -> Change:
    """Return a change of the road alone, as of concrete, along its softened true label."""

    def changed(
        picture: Picture, label: np.ndarray, _: np.random.Generator
    ) -> tuple[Picture, np.ndarray]:
        road = cv2.GaussianBlur((label == 1).astype(np.float32), (0, 0), 1.5)
        made = picture + levels * road[..., np.newaxis]
        return np.clip(np.rint(made), 0, 255).astype(np.uint8), label

    return changed


def over_sharpened(
    picture: Picture, label: np.ndarray, _: np.random.Generator
) -> tuple[Picture, np.ndarray]:
    """Sharpen by far too much and store as JPEG of quality 30."""
    soft = cv2.GaussianBlur(picture, (0, 0), 1).astype(np.float32)
    sharp = np.clip(2.5 * picture - 1.5 * soft, 0, 255).astype(np.uint8)
    _, stored = cv2.imencode(".jpg", sharp, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return cv2.imdecode(stored, cv2.IMREAD_COLOR), label


def in_turn(*changes: Change) -> Change:
    """Return all changes as one."""

    def changed(
        picture: Picture, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[Picture, np.ndarray]:
        for change in changes:
            picture, label = change(picture, label, rng)
        return picture, label

    return changed


def blurred(sigma: float) -> Change:
    """Return a Gaussian blur."""
    return light(lambda levels: cv2.GaussianBlur(levels, (0, 0), sigma))


def contrasted(factor: float) -> Change:
    """Return a change of the contrast about the picture's mean."""
    return light(lambda levels: levels.mean() + (levels - levels.mean()) * factor)


def sharpened(amount: float) -> Change:
    """Return an unsharp masking."""
    return light(lambda levels: levels + amount * (levels - cv2.GaussianBlur(levels, (0, 0), 1.2)))


def gamma(exponent: float) -> Change:
    """Return a tone curve."""
    return light(lambda levels: 255 * (levels / 255) ** exponent)


AS_IT_IS = "as it is"
STANDINS: Mapping[str, Change] = MappingProxyType(
    {
        AS_IT_IS: light(lambda levels: levels),
        "gain 1.6": light(lambda levels: levels * 1.6),
        "gain 2.2": light(lambda levels: levels * 2.2),
        "gamma 0.5": gamma(0.5),
        "haze": light(lambda levels: levels * 0.55 + 0.45 * np.array(VEIL)),
        "warm": light(lambda levels: levels * np.array(WARM)),
        "histogram bright": histogram(BRIGHT),
        "histogram flat": histogram(FLAT),
        "soft": in_turn(blurred(1.6), gamma(0.75)),
        "sharp, JPEG 30": over_sharpened,
        "half size": resized(0.56),
        "size x1.6": resized(1.6),
        "grey": light(lambda levels: np.repeat(levels.mean(2, keepdims=True), 3, 2) * 1.3),
        "bright roads": brighter_roads(55),
        "bright roads, bright": in_turn(
            brighter_roads(35), light(lambda levels: levels * 1.4 + 30)
        ),
        "all at once": in_turn(
            brighter_roads(30),
            resized(0.72),
            gamma(0.6),
            blurred(0.7),
            light(lambda levels: levels * np.array((1.25, 1.1, 0.95)) + 10),
        ),
        # Brighter, with less contrast, and of another sharpness and size, all at once.
        "hazy, soft, size x0.7": in_turn(
            resized(0.7), blurred(0.8), contrasted(0.6), light(lambda levels: levels * 0.8 + 73)
        ),
        "pale, sharp, size x1.4": in_turn(
            resized(1.4), sharpened(1.5), contrasted(0.55), light(lambda levels: levels + 55)
        ),
        "overexposed, sharp, size x0.7": in_turn(
            resized(0.7),
            sharpened(1.0),
            light(lambda levels: levels * np.array((1.7, 1.6, 1.5)) + 25),
        ),
        "warm, soft, size x1.4": in_turn(
            resized(1.4),
            blurred(1.2),
            gamma(0.5),
            light(lambda levels: levels * np.array((1.25, 1.1, 0.95)) + 5),
        ),
        "bright roads, overexposed, JPEG 30, size x1.4": in_turn(
            brighter_roads(35),
            resized(1.4),
            light(lambda levels: levels * np.array((1.5, 1.45, 1.4)) + 30),
            over_sharpened,
        ),
        "grey, flat, hazy, size x1.2": in_turn(
            resized(1.2),
            light(lambda levels: np.repeat(levels.mean(2, keepdims=True), 3, 2)),
            contrasted(0.35),
            light(lambda levels: levels + 80),
        ),
    }
)


@dataclass(frozen=True)
class Score:
    """Pixels of road by what they were called.

    Attributes
    ----------
    hits, misses, alarms
        Road called road, road called other, other called road.
    """

    hits: int = 0
    misses: int = 0
    alarms: int = 0

    @classmethod
    def of(cls, found: np.ndarray, label: np.ndarray) -> Score:
        """Compare two class rasters; 255 in either is left out."""
        known = (label != 255) & (found != 255)
        is_road, called = (label == 1) & known, (found == 1) & known
        return cls(
            int((is_road & called).sum()),
            int((is_road & ~called).sum()),
            int((called & ~is_road).sum()),
        )

    def __add__(self, other: Score) -> Score:
        return Score(self.hits + other.hits, self.misses + other.misses, self.alarms + other.alarms)

    @property
    def iou(self) -> float:
        """Road IoU of all pixels together; NaN without any road."""
        pixels = self.hits + self.misses + self.alarms
        return self.hits / pixels if pixels else float("nan")
