"""The baseline makes what kdgat makes, so that their times can be compared."""
from tests.benchmarks.loop import build_graphs
def test_x():
    assert build_graphs
