"""Tables of other domains to messages: a text file says what the columns are."""
