"""kdgat: an agent-aware research workspace for graph-based CAN-bus intrusion detection.

Importing the package costs nothing: every heavy library is imported by the module that uses it.
"""
