"""The auditor's program that checks a proof, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tallystick.oversight.audit.heads import public_text
from tests.support.audit import KEY

#: It has nothing of ours.
CHECKER: Final = Path(__file__).parents[2] / "examples/check_audit.py"


def check_proof(directory: Path, proof: dict[str, Any]) -> tuple[int, str]:
    """As an auditor runs it: alone, without the package on its path. Its exit code, and what it said."""
    keys, file = directory / "keys", directory / "proof.json"
    keys.write_text(f"# the sealer's\n{public_text(KEY.public)}\n")
    file.write_text(json.dumps(proof))
    done = subprocess.run([sys.executable, "-I", CHECKER, keys, file], capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()
