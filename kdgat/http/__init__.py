"""What every server of kdgat's asks of a caller: its token, this machine's name, bounds."""
