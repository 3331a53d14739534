"""What the documentation shows works as it stands: the code blocks of each page run in order."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "docs/user-guide.md"])
def test_every_code_block_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert len(blocks) >= 3
    module = types.ModuleType("__readme__")
    monkeypatch.setitem(
        sys.modules, module.__name__, module
    )  # where dataclasses look for what they are made of
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        code = compile("\n" * line + block[1], str(ROOT / page), "exec")  # so that a traceback names the line
        exec(code, module.__dict__)
