"""One question to a gateway: signed, sent, and asked again where that may help."""
