"""The seeded records that an emulator answers with."""
