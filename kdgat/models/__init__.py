"""Graph models: architecture alone; losses and loops live in `kdgat.training`."""
