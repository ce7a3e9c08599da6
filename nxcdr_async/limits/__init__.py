"""How much may be asked of a gateway: at once, a second, and after whom."""
