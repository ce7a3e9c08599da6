"""An emulator in trouble: faults, clocks and bad rows, and whatever was read is whole or told as not whole."""
