"""Stage `scenes`: any readable picture becomes a cloud-optimized GeoTIFF, pixel for pixel."""

from roadmask.scenes.command import add_arguments, run

__all__ = ["add_arguments", "run"]
