"""The typed config: one frozen class per thing that varies; `compose` alone knows hydra-zen."""
