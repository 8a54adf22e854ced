"""The agent's hands: operations as tools of the Model Context Protocol, by mode."""
