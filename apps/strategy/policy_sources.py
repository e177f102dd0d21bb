"""Does the text of a policy file reach for anything but bars? What it imports, calls and declares global, by name."""

from __future__ import annotations

import ast

ALLOWED_IMPORTS = {
    *("__future__", "math", "typing", "dataclasses", "collections", "enum", "functools", "itertools", "operator"),
    *("numpy", "numba", "apps"),
}
ALLOWED_APPS = "apps.engine"
REFUSED_CALLS = {"open", "exec", "eval", "compile", "input", "globals", "__import__", "id", "hash", "vars"}
REFUSED_NUMPY = {"random", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "save", "savetxt"}


def source_faults(source: str) -> list[str]:
    """Each thing in the text that a signal must not depend on, with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.expr, ast.stmt)):
            continue
        for name in _imported(node):
            root = name.split(".")[0]
            if root not in ALLOWED_IMPORTS or (root == "apps" and not name.startswith(ALLOWED_APPS)):
                found.append(f"line {node.lineno}: imports {name}, which is no part of bars or engine")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSED_CALLS:
            found.append(f"line {node.lineno}: calls {node.func.id}")
        if isinstance(node, ast.Attribute) and node.attr in REFUSED_NUMPY and _is_numpy(node.value):
            found.append(f"line {node.lineno}: uses numpy.{node.attr}")
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            found.append(f"line {node.lineno}: keeps {', '.join(node.names)} outside the state")
    return found


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def _is_numpy(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("np", "numpy")
