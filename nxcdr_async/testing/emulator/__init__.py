"""The emulator of the vendor's gateway, room by room."""
