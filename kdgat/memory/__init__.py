"""What a training step needs of a GPU's memory, known before it runs."""
