"""From aerial sheets and street maps to road masks, a trained network and predictions."""

__version__ = "0.1.0"
