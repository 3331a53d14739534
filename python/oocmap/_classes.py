"""How instances of Python's classes are taken apart and put together: the registry of a process."""

from __future__ import annotations

import collections
import enum
import io
import os
import pathlib
import pickle
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from oocmap._oocmap import Recipe
from oocmap.exceptions import UnsupportedTypeError

__all__ = ["register"]

_Class = TypeVar("_Class", bound=type[Any])
_Default = Callable[[Any, str], Any]

# What default_factory of a defaultdict may be without being registered, by stored name.
_KNOWN_FACTORIES: tuple[type[Any], ...] = (
    bool, bytearray, bytes, complex, dict, float, frozenset, int, list, object, set, str, tuple,
    collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque,
)  # fmt: skip
_FACTORIES = {f"{factory.__module__}:{factory.__name__}": factory for factory in _KNOWN_FACTORIES}
_FACTORY_NAMES = {factory: name for name, factory in _FACTORIES.items()}

_PATHS: dict[str, type[pathlib.PurePath]] = {
    cls.__name__: cls
    for cls in (
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
        # On each system one of them has no instances; what was stored elsewhere comes back as the pure one.
        pathlib.PurePosixPath if os.name == "nt" else pathlib.PosixPath,
        pathlib.WindowsPath if os.name == "nt" else pathlib.PureWindowsPath,
    )
}
_PATHS.setdefault("PosixPath", pathlib.PurePosixPath)
_PATHS.setdefault("WindowsPath", pathlib.PureWindowsPath)

# Read by the extension: the recipe of each class, and of each stored name that was registered.
by_class: dict[type[Any], Recipe] = {
    collections.deque: Recipe("deque", "deque", collections.deque),
    collections.OrderedDict: Recipe("ordered dict", "OrderedDict", collections.OrderedDict),
    collections.defaultdict: Recipe("defaultdict", "defaultdict", collections.defaultdict),
    collections.Counter: Recipe("counter", "Counter", collections.Counter),
    **{cls: Recipe("path", cls.__name__, cls) for cls in _PATHS.values()},
}
by_name: dict[str, Recipe] = {}

_NATIVE = {pathlib.PurePath, pathlib.Path, *by_class}
_NATIVE_NAMES = {
    "datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta", "datetime.timezone",
    "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "zoneinfo.ZoneInfo",
}  # fmt: skip


@overload
def register(
    cls: _Class,
    /,
    *,
    name: str | None = None,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
) -> _Class: ...
@overload
def register(
    cls: None = None,
    /,
    *,
    name: str | None = None,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
) -> Callable[[_Class], _Class]: ...
def register(
    cls: _Class | None = None,
    /,
    *,
    name: str | None = None,
    encode: Callable[[Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
) -> _Class | Callable[[_Class], _Class]:
    """Let instances of a class be stored natively; a function, and a decorator with or without arguments.

    Enums are stored by the names of their members, named tuples by their elements, dataclasses and attrs classes by
    their fields, and other classes by ``__dict__`` and ``__slots__``. Instances come back whole: built of plain Python
    objects all the way down, without ``__init__``. The registry is that of the process; each one that reads the
    instances has to register the class. Subclasses have to be registered themselves.

    Parameters
    ----------
    cls : type
        The class.
    name : str, optional
        What the class is called in the map, ``module:qualname`` when not given. Give one to classes that may move.
    encode : callable, optional
        Makes of an instance what is stored in its place: any value that can be stored.
    decode : callable, optional
        Makes an instance of that value, which it gets as plain Python objects.

    Returns
    -------
    type
        The class itself; without ``cls``, a decorator.

    Raises
    ------
    TypeError
        When ``cls`` is no class, or is one whose instances are stored natively without being registered, or when one of
        ``encode`` and ``decode`` is given without the other.
    ValueError
        When another class has the name, or the class has another name.
    UnsupportedTypeError
        When instances have state beyond attributes, as those of a subclass of ``list`` have, and ``encode`` and
        ``decode`` are not given.

    Examples
    --------
    >>> import dataclasses, oocmap
    >>> @oocmap.register(name="shapes:Point")
    ... @dataclasses.dataclass
    ... class Point:
    ...     x: float
    ...     y: float = 0.0
    """
    if cls is None:
        return lambda cls: register(cls, name=name, encode=encode, decode=decode)
    _check_class(cls)
    if (encode is None) != (decode is None):
        raise TypeError(f"give both encode= and decode= for {cls.__qualname__}, or neither")
    name = _checked_name(f"{cls.__module__}:{cls.__qualname__}" if name is None else name)
    recipe = _recipe(cls, name, encode, decode)
    known = by_name.get(name)
    if (known is not None and known.cls is not cls) or name in _FACTORIES:
        raise ValueError(f"another class is registered as {name!r} already; give this one another name=")
    known = by_class.get(cls)
    if known is not None and known.name != name:
        raise ValueError(f"{cls.__qualname__} is registered already, as {known.name!r}")
    by_name[name] = by_class[cls] = recipe
    return cls


def _check_class(cls: object) -> None:
    if not isinstance(cls, type):
        raise TypeError(f"register() takes a class, not {cls!r}")
    title = f"{cls.__module__}.{cls.__qualname__}"
    if cls in _NATIVE or cls in _FACTORY_NAMES or title in _NATIVE_NAMES or cls.__module__ == "builtins":
        raise TypeError(f"{title} can't be registered; only classes that Python and oocmap don't know can be")


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f"name= has to be a str that is not empty, not {name!r}")
    return name


def _recipe(
    cls: type[Any], name: str, encode: Callable[[Any], Any] | None, decode: Callable[[Any], Any] | None
) -> Recipe:
    if encode is None and issubclass(cls, enum.Enum):
        return Recipe("enum", name, cls)
    if encode is None and issubclass(cls, tuple):
        fields = getattr(cls, "_fields", None)
        if not isinstance(fields, tuple):
            raise _needs_functions(cls)
        defaults: dict[str, Any] = getattr(cls, "_field_defaults", {})

        def default_element(_: Any, field: str) -> Any:
            if field in defaults:
                return defaults[field]
            raise _no_default(cls, field)

        return Recipe("named tuple", name, cls, fields=fields, default=default_element)
    slots = _slots(cls)
    if slots is None:
        if encode is None:
            raise _needs_functions(cls)
        return Recipe("encoded", name, cls, encode=encode, decode=decode)
    names, default, reset = _fields(cls)
    return Recipe(
        "attributes" if encode is None else "encoded",
        name,
        cls,
        slots=slots,
        fields=names,
        default=default,
        reset=reset,
        encode=encode,
        decode=decode,
    )


def _slots(cls: type[Any]) -> dict[str, Any] | None:
    """Return what gets and sets each slot, or None when instances have state beyond slots and ``__dict__``."""
    slots: dict[str, Any] = {}
    count = 0
    for base in cls.__mro__:
        declared = base.__dict__.get("__slots__", ())
        for slot in (declared,) if isinstance(declared, str) else tuple(declared):
            if slot in ("__dict__", "__weakref__"):
                continue
            stripped = base.__name__.lstrip("_")
            private = slot.startswith("__") and not slot.endswith("__") and stripped
            slot = f"_{stripped}{slot}" if private else slot
            count += 1
            slots.setdefault(slot, base.__dict__[slot])
    # As object.__reduce_ex__ reckons: what is larger than its slots was made in another language than Python.
    expected = object.__basicsize__ + 8 * (count + (cls.__dictoffset__ > 0) + (cls.__weakrefoffset__ > 0))
    return slots if cls.__itemsize__ == 0 and cls.__basicsize__ <= expected else None


def _fields(cls: type[Any]) -> tuple[tuple[str, ...] | None, _Default | None, tuple[str, ...]]:
    """Return the fields, what makes the value of one that an older instance lacks, and what is never stored."""
    if hasattr(cls, "__dataclass_fields__"):
        import dataclasses

        fields = {field.name: field for field in dataclasses.fields(cls)}

        def default_field(_: Any, name: str) -> Any:
            field = fields[name]
            if field.default is not dataclasses.MISSING:
                return field.default
            if field.default_factory is not dataclasses.MISSING:
                return field.default_factory()
            raise _no_default(cls, name)

        return tuple(fields), default_field, ()
    if hasattr(cls, "__attrs_attrs__"):
        # The class was made by it.
        attrs = sys.modules["attr"]
        attributes = {attribute.name: attribute for attribute in attrs.fields(cls)}

        def default_attribute(instance: Any, name: str) -> Any:
            default = attributes[name].default
            if default is attrs.NOTHING:
                raise _no_default(cls, name)
            if isinstance(default, attrs.Factory):
                return default.factory(instance) if default.takes_self else default.factory()
            return default

        # Hashes differ from process to process.
        return tuple(attributes), default_attribute, ("_attrs_cached_hash",)
    return None, None, ()


def _needs_functions(cls: type[Any]) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f"instances of {cls.__qualname__} have state beyond their attributes; "
        "give register() encode=, which makes a storable value of one, and decode=, which undoes that"
    )


def _no_default(cls: type[Any], field: str) -> UnsupportedTypeError:
    return UnsupportedTypeError(
        f"a stored {cls.__qualname__} has no field {field!r}, and the class no default for it; give it one to read "
        "older instances"
    )


# --- called by the extension ---


def factory_name(factory: Any) -> str | None:
    """Return the stored name of a ``default_factory``, if it has one."""
    try:
        name = _FACTORY_NAMES.get(factory)
        recipe = by_class.get(factory)
    except TypeError:  # not hashable
        return None
    return name if name is not None or recipe is None or recipe.cls in _NATIVE else recipe.name


def factory(name: str) -> type[Any] | None:
    """Return the ``default_factory`` of a stored name, if it is known here."""
    if name in _FACTORIES:
        return _FACTORIES[name]
    recipe = by_name.get(name)
    return None if recipe is None else recipe.cls


def path(name: str, text: str) -> pathlib.PurePath | None:
    """Return the path that was stored as an instance of the class of this name."""
    cls = _PATHS.get(name)
    return None if cls is None else cls(text)


def pickled(value: Any) -> list[Any]:
    """Return the pickle of an object, then whether each of its buffers can be written to, and its bytes."""
    stream = io.BytesIO()
    buffers: list[Any] = []

    def keep_out(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous
            return True
        with raw:
            buffers.extend((not raw.readonly, raw.tobytes()))
        return False

    try:
        pickle.Pickler(stream, 5, buffer_callback=keep_out).dump(value)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        cls = type(value)
        raise UnsupportedTypeError(
            f"{cls.__module__}.{cls.__qualname__} can't be pickled: {error}"
        ) from error
    return [stream.getvalue(), *buffers]


def unpickled(parts: Iterable[Any]) -> Any:
    """Undo ``pickled``."""
    stream, *rest = parts
    buffers = [
        bytearray(content) if writable else content
        for writable, content in zip(rest[::2], rest[1::2], strict=True)
    ]
    return pickle.loads(stream, buffers=buffers)
