"""A trained model behind HTTP: messages or windows in, scores and alarms out."""
