"""How far from a pixel a network looks."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import keras

# Layers whose output at a place takes its inputs at that place alone.
POINTWISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.BatchNormalization,
    keras.layers.Concatenate,
    keras.layers.Dropout,
    keras.layers.ELU,
    keras.layers.InputLayer,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.SpatialDropout2D,
)
CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


class _Span:
    """What a feature looks at along one axis: input pixels from its own place on.

    The feature with index ``i`` looks at the pixels from ``first + step i`` to ``last + step i``.
    """

    def __init__(self, step: Fraction, first: Fraction, last: Fraction) -> None:
        self.step, self.first, self.last = step, first, last

    def moved(self, before: Fraction, behind: Fraction, factor: Fraction) -> _Span:
        """Return the span of features that look at those from ``i factor + before`` on."""
        return _Span(
            self.step * factor, self.first + self.step * before, self.last + self.step * behind
        )


def receptive_reach(model: keras.Model) -> int | None:
    """Return how many pixels away from a pixel its probability can depend on the picture.

    It is the reach that the layers allow, computed from their kernels, strides and paddings;
    what trained weights make of it is less. Beyond it, a window's border is without effect.

    Parameters
    ----------
    model
        A network as `roadmask.model.networks` builds it.

    Returns
    -------
    int or None
        The largest distance along rows or columns; None where every pixel sees the whole
        picture, as with the image pooling of DeepLab.

    Raises
    ------
    TypeError
        If the network has a kind of layer that this does not know.
    """
    spans: dict[int, _Span | None] = {}
    for layer in model.layers:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        if isinstance(layer, keras.layers.InputLayer):
            spans[id(layer.output)] = _Span(Fraction(1), Fraction(0), Fraction(0))
            continue
        known = [spans[id(tensor)] for tensor in inputs]
        spans[id(layer.output)] = _after(layer, known)
    span = spans[id(model.output)]
    return None if span is None else int(max(-span.first, span.last))


def _after(layer: keras.layers.Layer, spans: list[_Span | None]) -> _Span | None:
    """Return what a layer's output looks at."""
    joined = _union(spans)
    if joined is None or isinstance(layer, keras.layers.GlobalAveragePooling2D):
        return None
    for kinds, rule in RULES:
        if isinstance(layer, kinds):
            return rule(layer, joined)
    raise TypeError(f"no rule says how far a {type(layer).__name__} looks")


def _union(spans: list[_Span | None]) -> _Span | None:
    if any(span is None for span in spans):
        return None
    known = [span for span in spans if span is not None]
    return _Span(known[0].step, min(span.first for span in known), max(span.last for span in known))


def _kernel(layer: Any, span: _Span) -> _Span:  # noqa: ANN401 (one of several kinds of layer)
    size = layer.pool_size[0] if isinstance(layer, POOLS) else layer.kernel_size[0]
    dilation = 1 if isinstance(layer, POOLS) else layer.dilation_rate[0]
    stride, whole = layer.strides[0], (size - 1) * dilation
    # TensorFlow's `same` on a size that the stride divides.
    before = max(whole + 1 - stride, 0) // 2 if layer.padding == "same" else 0
    return span.moved(Fraction(-before), Fraction(whole - before), Fraction(stride))


def _transposed(layer: keras.layers.Conv2DTranspose, span: _Span) -> _Span:
    if layer.kernel_size != layer.strides:
        raise TypeError("no rule says how far a Conv2DTranspose with overlap looks")
    return _repeated(span, layer.strides[0])


def _enlarged(layer: keras.layers.UpSampling2D, span: _Span) -> _Span:
    factor = layer.size[0]
    if layer.interpolation == "nearest":
        return _repeated(span, factor)
    if layer.interpolation != "bilinear" or factor % 2:
        raise TypeError(f"no rule says how far {layer.interpolation} by {factor} looks")
    # The first half of a feature's pixels also look at the feature before, the others at that
    # behind.
    step = span.step / factor
    return _Span(step, span.first - span.step - step * (factor // 2 - 1), span.last + span.step / 2)


def _repeated(span: _Span, factor: int) -> _Span:
    """Return what is looked at where each feature becomes several.

    Those with index ``i`` look where the feature with index ``i // factor`` did, which is up
    to ``factor - 1`` parts of its step farther back than if the division were exact.
    """
    step = span.step / factor
    return _Span(step, span.first - step * (factor - 1), span.last)


def _padded(layer: keras.layers.ZeroPadding2D, span: _Span) -> _Span:
    before = Fraction(-layer.padding[0][0])
    return span.moved(before, before, Fraction(1))


RULES: tuple[tuple[Any, Callable[[Any, _Span], _Span]], ...] = (
    (POINTWISE, lambda _, span: span),
    (CONVOLUTIONS, _kernel),
    (POOLS, _kernel),
    (keras.layers.Conv2DTranspose, _transposed),
    (keras.layers.UpSampling2D, _enlarged),
    (keras.layers.ZeroPadding2D, _padded),
)
