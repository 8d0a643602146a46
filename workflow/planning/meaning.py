"""What Python code does, as text. Imports the standard library alone: a test runs it everywhere."""

from __future__ import annotations

import ast


def meaning(source: str, name: str = "<source>") -> str:
    """Return what Python code does as text, the same for every layout and comment.

    `ast.dump` and `ast.unparse` would do, were they the same in all versions of Python.
    """
    return _text(ast.parse(source, name))


def _text(node: object) -> str:
    if isinstance(node, list):
        return "[" + ",".join(map(_text, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        kept = _without_docstring(node, value) if name == "body" else value
        # Fields that a later Python added are empty in code that this project's oldest reads.
        if kept not in (None, []) and not isinstance(kept, ast.expr_context):
            parts.append(f"{name}={_text(kept)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _without_docstring(node: ast.AST, body: object) -> object:
    is_documented = isinstance(
        node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    )
    if is_documented and isinstance(body, list) and body:
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            return body[1:] if isinstance(first.value.value, str) else body
    return body
