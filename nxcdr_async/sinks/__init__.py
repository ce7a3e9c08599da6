"""Where records are stored. Nothing here knows the network."""
