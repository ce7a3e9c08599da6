"""Who does the same job in `peers.py`.

Each module has `read`, which takes what an emulator told and how many requests to have at once, and returns ids.
"""
