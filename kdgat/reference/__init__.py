"""Pages that are made from the code: reference, leaderboard, llms.txt, and mkdocs' hook for them.

Sources of operations are read, not imported, so that a check takes no PyTorch and no second.
"""
