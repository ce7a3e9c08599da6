"""The parts of the emulator: the HTTP server, its checks, its look-ups, its faults and switches."""
