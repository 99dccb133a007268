"""What a command prints and imports in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence


def help_and_imports(module: str, arguments: Sequence[str], modules: Sequence[str]) -> tuple[str, set[str]]:
    """The help that `main(arguments)` of a module prints, and which of the modules are imported by then."""
    code = (
        f"import sys; from {module} import main\n"
        f"try: main({[*arguments, '--help']!r})\n"
        "except SystemExit: pass\n"
        f"print(*[name for name in {list(modules)!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lines, imported = result.stdout.splitlines()
    return "\n".join(lines), set(imported.split())
