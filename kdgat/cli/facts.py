"""What hooks ask of kdgat, in a process of its own that imports no command line.

python -m kdgat.cli.facts session    what a session begins with: the mode, and the text
python -m kdgat.cli.facts mode       the current mode, and what to say where another one is known
"""

from __future__ import annotations

import json
import sys

from kdgat.errors import KdgatError
from kdgat.ops.session import mode_text, session_facts
from kdgat.workspace import Workspace

_USER_MISTAKE = 2


def main(wanted: str) -> int:
    """Print one of them as JSON; a user's mistake is told in one line, and ends with 2."""
    try:
        ws = Workspace.find()
        if wanted == "session":
            made = session_facts(ws)
            mode, text = made.mode, made.text
        else:
            mode, text = mode_text(ws)
    except KdgatError as error:
        sys.stderr.write(f"{error.problem}; {error.hint}\n")
        return _USER_MISTAKE
    sys.stdout.write(json.dumps({"mode": mode, "text": text}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
