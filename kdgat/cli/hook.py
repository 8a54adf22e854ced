"""`kdgat hook`: what the agent's client starts by itself, answered by hand; and what is behind it.

`python -m kdgat.cli.hook facts` is what a hook starts: this module imports no command line, which
would take longer than the facts.
"""

from __future__ import annotations

import json
import sys

from kdgat.workspace import Workspace

_USER_MISTAKE = 2


def hook(event: str) -> None:
    """Answer a hook as the agent's client would start it: JSON in, JSON or nothing out.

    Example: echo '{}' | kdgat hook SessionStart
    """
    from kdgat.agent.hook import main

    main([event])


def facts() -> dict[str, str]:
    """What a session begins with: the mode, and the text."""
    from kdgat.ops.session import session_facts

    made = session_facts(Workspace.find())
    return {"mode": made.mode, "text": made.text}


def mode() -> dict[str, str]:
    """The current mode, and what to say where a session knows another one."""
    from kdgat.ops.session import mode_text

    name, text = mode_text(Workspace.find())
    return {"mode": name, "text": text}


def _main(wanted: str) -> int:
    from kdgat.errors import KdgatError

    try:
        made = {"facts": facts, "mode": mode}[wanted]()
    except KdgatError as error:
        sys.stderr.write(f"{error.problem}; {error.hint}\n")
        return _USER_MISTAKE
    sys.stdout.write(json.dumps(made) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
