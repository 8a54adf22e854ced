"""What a run goes through, one module a stage: from raw captures to scores."""
