"""The only factory: a spec, which is a dict with a `name` and keyword arguments, becomes the thing it names.

    build(gen_jax.nn, {"name": "DiT", "width": 128})             -> DiT(width=128)
    build(gen_jax, {"name": "losses.hinge"})                     -> the function hinge
    build(gen_jax, {"name": "families.VAE", "encoder": {"name": "nn.MLP"}, ...}, shape=(8, 8, 1))

A name is looked for among the public classes and functions that the package's modules define; with a dot, its first
part is a package of gen_jax. A class is built; a function is returned with the spec's arguments bound. Arguments that
are specs, or lists or dicts of specs, are built first. There is no registry to keep: writing the function is enough.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import gen_jax
from gen_jax.errors import UserError, unknown


def build(module: ModuleType, spec: Mapping[str, Any], **fill: Any) -> Any:
    """Builds what `spec` describes.

    Args:
      module: the package or module in which an undotted name is looked up.
      spec: {"name": str, **arguments}; values that are such dicts themselves, or lists or dicts of them, are built too.
      fill: values known only from the data (shape, num_classes). They go to every constructor in the spec that has
        an argument of that name and was given none, or None.

    Raises:
      UserError: unknown name or argument (with the known ones and the nearest), or one that is missing.
    """
    spec = dict(spec)
    if "name" not in spec:
        raise UserError(f"a spec needs a 'name', this one has only: {', '.join(map(str, spec)) or 'nothing'}")
    name = spec.pop("name")
    target = _find(module, name)
    parameters = _parameters(target)
    for key in spec:
        if key not in parameters:
            raise unknown(f"argument of {name}", key, parameters)
    given = {key: _build_value(module, value, fill) for key, value in spec.items()}
    filled = {key: value for key, value in fill.items() if key in parameters and given.get(key) is None}
    kwargs = given | filled
    if not inspect.isclass(target):
        return functools.partial(target, **kwargs) if kwargs else target
    missing = [k for k, p in parameters.items() if p.default is p.empty and k not in kwargs]
    if missing:
        raise UserError(f"{name} needs a value for: {', '.join(missing)}")
    return target(**kwargs)


def names(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The public classes and functions by name: of a package of gen_jax those its modules define, else the module's."""
    root = module.__name__.split(".")[0]
    if root != gen_jax.__name__ or not hasattr(module, "__path__"):
        return _public(module, lambda m: m.split(".")[0] == root)
    found: dict[str, Callable[..., Any]] = {}
    for info in pkgutil.iter_modules(module.__path__):
        if not info.name.startswith("_"):
            submodule = importlib.import_module(f"{module.__name__}.{info.name}")
            found |= _public(submodule, submodule.__name__.__eq__)
    return found


def _public(module: ModuleType, defined_in: Callable[[str], bool]) -> dict[str, Callable[..., Any]]:
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and defined_in(value.__module__)
    }


def _find(module: ModuleType, name: str) -> Callable[..., Any]:
    package, _, short = name.rpartition(".")
    if package:
        packages = [m.name for m in pkgutil.iter_modules(gen_jax.__path__) if m.ispkg]
        if package not in packages:
            raise unknown(f"package in '{name}'", package, packages)
        module = importlib.import_module(f"gen_jax.{package}")
    known = names(module)
    if short not in known:
        raise unknown(f"name in {module.__name__}", short, known)
    return known[short]


def _parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments a spec may give. `parent` and `name` are flax's own and not part of a spec."""
    signature = inspect.signature(target).parameters.items()
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {k: p for k, p in signature if p.kind not in variadic and k not in ("parent", "name")}


def _build_value(module: ModuleType, value: Any, fill: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if "name" in value:
            return build(module, value, **fill)
        return {k: _build_value(module, v, fill) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_build_value(module, v, fill) for v in value)
    return value
