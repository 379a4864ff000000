"""_core.pyi says what the module _core has, in both directions.

Names, kinds, parameters and what is returned; of arrays not the type of their elements.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any, Union

import pytest
import squishnative
from squishnative import _core

STUB = Path(squishnative.__file__).with_name("_core.pyi")
# name -> "property -> T", "method(a, b=) -> T", "static(a) -> T", "class" or "value"
Members = dict[str, str]

Definition = Union[ast.FunctionDef, ast.ClassDef, ast.AnnAssign]


def stub_definitions() -> dict[str, Definition]:
    body = ast.parse(STUB.read_text(encoding="utf-8")).body
    named = {n.name: n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    # Assignments without a type are names for types.
    values = {
        n.target.id: n
        for n in body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    }
    return {**named, **values}


def stub_parameters(function: ast.FunctionDef) -> str:
    arguments = function.args.args
    required = len(arguments) - len(function.args.defaults)
    names = [a.arg + "=" * (i >= required) for i, a in enumerate(arguments) if a.arg != "self"]
    names += "*" * bool(function.args.kwonlyargs)
    names += [
        a.arg + "=" * (default is not None)
        for a, default in zip(function.args.kwonlyargs, function.args.kw_defaults)
    ]
    assert function.returns is not None
    return f"({', '.join(names)}) -> {plain_type(ast.unparse(function.returns))}"


def plain_type(text: str) -> str:
    """A type as any pybind11 writes it or as a stub does, all in one way."""
    text = text.strip().rstrip(":").replace("squishnative._core.", "")
    text = re.sub(r"^(.*) \| None$", r"Optional[\1]", text)
    return re.sub(
        r"(numpy\.typing\.NDArray|npt\.NDArray|numpy\.ndarray)(\[[^]]*\])?", "array", text
    )


def returned(function: Any) -> str:
    """From the docstring's first line: `run(...) -> T`."""
    return plain_type(function.__doc__.splitlines()[0].rpartition(" -> ")[2])


def stub_members(definition: ast.ClassDef) -> Members:
    members = {}
    for function in definition.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        decorators = {d.id for d in function.decorator_list if isinstance(d, ast.Name)}
        if "property" in decorators:
            assert function.returns is not None
            members[function.name] = f"property -> {plain_type(ast.unparse(function.returns))}"
        else:
            kind = "static" if "staticmethod" in decorators else "method"
            members[function.name] = kind + stub_parameters(function)
    return members


def built_parameters(function: Any) -> str:
    """From the signature that pybind11 writes into the docstring: `run(self: T, out: V = None)`."""
    signature = function.__doc__.splitlines()[0]
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    flat = inside
    while flat != (flat := re.sub(r"\[[^\[\]]*\]|\([^()]*\)|<[^<>]*>|'[^']*'", "", flat)):
        pass
    names = []
    for parameter in filter(None, (part.strip() for part in flat.split(","))):
        name = parameter.split(":")[0].strip()
        if name != "self":
            names.append(name + "=" * ("=" in parameter))
    return f"({', '.join(names)}) -> {returned(function)}"


def built_members(cls: type) -> Members:
    members = {}
    for name, member in vars(cls).items():
        if isinstance(member, property):
            members[name] = f"property -> {returned(member.fget)}"
        elif isinstance(member, staticmethod):
            members[name] = "static" + built_parameters(getattr(cls, name))
        elif callable(member) and is_bound(name, member):
            members[name] = "method" + built_parameters(member)
    return members


def is_bound(name: str, member: Any) -> bool:
    """Whether we bound it: a class without constructor has an __init__ that only raises."""
    return not name.startswith("_") or (member.__doc__ or "").startswith(f"{name}(self: ")


def public_names() -> set[str]:
    return {n for n in vars(_core) if not n.startswith("_") or n == "__version__"}


def test_the_stub_and_the_module_have_the_same_names() -> None:
    assert public_names() == set(stub_definitions())


@pytest.mark.parametrize("name", sorted(stub_definitions()))
def test_each_name_is_what_the_stub_says(name: str) -> None:
    definition, built = stub_definitions()[name], getattr(_core, name)
    if isinstance(definition, ast.ClassDef):
        assert inspect.isclass(built)
        assert built_members(built) == stub_members(definition)
        for base in definition.bases:
            assert isinstance(base, ast.Name)
            assert base.id in {parent.__name__ for parent in built.__mro__}
    elif isinstance(definition, ast.FunctionDef):
        assert built_parameters(built) == stub_parameters(definition)
    else:
        assert isinstance(definition.annotation, ast.Name)
        assert type(built).__name__ == definition.annotation.id
