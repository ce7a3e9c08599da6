"""One file for each API of the vendor: what can be asked, how it is paged, and how its records are stored."""
