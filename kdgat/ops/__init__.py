"""What kdgat can do: one typed function per operation, for the command line and for an agent."""
