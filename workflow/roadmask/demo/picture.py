"""The demo city from the air."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rasterio.features import rasterize
from affine import Affine

from roadmask.demo.layout import HEIGHT, PIXEL, WIDTH
from roadmask.demo.pavement import Pavement
from roadmask.demo.streets import Network


def render(network: Network, pavement: Pavement, seed: int) -> npt.NDArray[np.uint8]:
    shape = round(HEIGHT / PIXEL), round(WIDTH / PIXEL)
    road = rasterize(
        [(pavement.roads, 1)],
        out_shape=shape,
        transform=Affine(PIXEL, 0, 0, 0, -PIXEL, HEIGHT),
        dtype="uint8",
    )
    rng = np.random.default_rng([seed, 4])
    noise = rng.integers(-12, 12, size=(4, *shape), dtype="int8")
    return (150 - 60 * road[None] + noise).astype("uint8")
