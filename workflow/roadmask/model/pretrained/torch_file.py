"""PyTorch's files read without PyTorch, and without running what they say.

A ``.pth`` file holds a pickle, and a pickle is a program: reading it calls whatever it names.
Here it may name the four things that a dictionary of tensors needs, and everything else is
refused by its name before anything is called. Both forms are read: the zip archive that PyTorch
writes since 1.6, and the one before it (``torch/serialization.py``, ``_legacy_load``).
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from roadmask.errors import InputError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
# No state of a network that is read here comes near this.
LARGEST_PICKLE = 2**26
REMEDY = "Name a file that torch.save wrote of a network's state_dict"

# The storages that a tensor's numbers lie in, by the class that names them.
STORAGES: Mapping[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


# Both are tuples, because a pickle can change the attributes of what it has built.
class _Storage(NamedTuple):
    """Numbers that a tensor, or several, lie in: how many of which kind, and their name."""

    kind: str
    key: str
    size: int

    @property
    def dtype(self) -> np.dtype[Any]:
        return STORAGES[self.kind]


class _Tensor(NamedTuple):
    """Where a tensor's numbers lie in their storage, counted in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def taken_from(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Return the tensor as an array of its own."""
        if 0 in self.shape:
            return np.zeros(self.shape, numbers.dtype)
        last = self.offset + sum(
            (size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True)
        )
        if (
            min(self.offset, *self.shape, *self.strides, 0) < 0
            or last >= len(numbers)
            # A stride of 0 would let a small file fill the memory.
            or math.prod(self.shape) > len(numbers)
        ):
            raise ValueError(f"a tensor of shape {self.shape} does not lie in its storage")
        steps = tuple(stride * numbers.itemsize for stride in self.strides)
        view = np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, steps)
        return np.array(view, order="C")


class ForbiddenError(pickle.UnpicklingError):
    """The pickle names what no dictionary of tensors needs."""


class _Unpickler(pickle.Unpickler):
    """Builds dictionaries, numbers, text and descriptions of tensors, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 (a class or function)
        """Return what stands for a name, or refuse it."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function each time: what a pickle does to it stays without effect.
            return lambda *description: _tensor(*description[:4])
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in STORAGES:
            return name
        raise ForbiddenError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401 (whatever the file says)
        """Return the storage that the file speaks of."""
        word, kind, key, _, size, *view = pid
        if word != "storage" or kind not in STORAGES or (view and view[0] is not None):
            raise ValueError(f"it speaks of {pid!r}, which is no storage")
        return _Storage(kind, str(key), int(size))


def _tensor(storage: object, offset: int, shape: Sequence[int], strides: Sequence[int]) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError(f"a tensor lies in {storage!r}, which is no storage")  # noqa: TRY004
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def read_state(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a network's state.

    Parameters
    ----------
    path
        A file that ``torch.save`` wrote of a ``state_dict``.

    Returns
    -------
    dict
        The tensors by their names, in the file's order.

    Raises
    ------
    InputError
        If the file can't be read, is damaged, or names anything besides tensors.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        with path.open("rb") as file:
            return _read_legacy(file)
    except FileNotFoundError as error:
        raise InputError(path, "there is no such file", REMEDY) from error
    except ForbiddenError as error:
        raise InputError(
            path, f"{error}, which a file of weights has no need of; nothing of it was run", REMEDY
        ) from error
    except Exception as error:
        # The unpickler raises anything from IndexError to RecursionError on damaged files.
        raise InputError(
            path, f"it can't be read as PyTorch's weights ({type(error).__name__}: {error})", REMEDY
        ) from error


def _read_zip(path: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        index = next(name for name in names if name.endswith("data.pkl"))
        folder = index.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in names and archive.read(order).strip() not in (b"little", b""):
            raise ValueError("its numbers are big-endian")
        if archive.getinfo(index).file_size > LARGEST_PICKLE:
            raise ValueError("its index is too large for a network's state")
        content = _Unpickler(io.BytesIO(archive.read(index))).load()
        storages: dict[str, NDArray[Any]] = {}

        def numbers(storage: _Storage) -> NDArray[Any]:
            if storage.key not in storages:
                member = archive.getinfo(f"{folder}data/{storage.key}")
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"storage {storage.key} is compressed")
                if member.file_size != storage.size * storage.dtype.itemsize:
                    raise ValueError(f"storage {storage.key} has another size than it says")
                storages[storage.key] = np.frombuffer(archive.read(member), storage.dtype)
            return storages[storage.key]

        return _tensors(content, numbers)


def _read_legacy(file: IO[bytes]) -> dict[str, NDArray[Any]]:
    if _load(file) != LEGACY_MAGIC:
        raise ValueError("it does not begin as such files do")
    if _load(file) != LEGACY_PROTOCOL:
        raise ValueError("it is of an unknown version")
    if _load(file).get("little_endian") is not True:
        raise ValueError("its numbers are big-endian")
    content = _load(file)
    keys = _load(file)
    # What each storage holds is said by the tensors that lie in it.
    kinds = {tensor.storage.key: tensor.storage for tensor in _described(content).values()}
    storages: dict[str, NDArray[Any]] = {}
    for key in keys:
        storage = kinds[str(key)]
        size = int(np.frombuffer(_exactly(file, 8), "<i8")[0])
        if size != storage.size:
            raise ValueError(f"storage {key} has another size than it says")
        data = _exactly(file, size * storage.dtype.itemsize)
        storages[str(key)] = np.frombuffer(data, storage.dtype)
    return _tensors(content, lambda storage: storages[storage.key])


def _load(file: IO[bytes]) -> Any:  # noqa: ANN401 (whatever the file says)
    return _Unpickler(file).load()


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if size < 0 or len(data) != size:
        raise ValueError("it ends in the middle of a storage")
    return data


def _described(content: object) -> Mapping[str, _Tensor]:
    """Return a state as it was unpickled, if it is one."""
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in content.items()
    ):
        raise ValueError("it holds other things than tensors by their names")
    return content


def _tensors(
    content: object, numbers: Callable[[_Storage], NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    state = _described(content)
    return {name: tensor.taken_from(numbers(tensor.storage)) for name, tensor in state.items()}
