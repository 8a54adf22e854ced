"""Raw captures to graph batches: formats, ingest, simulation, windows, graphs, splits."""
