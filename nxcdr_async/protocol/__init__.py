"""The vendor's API as bytes: requests, signatures, responses and what they mean. No I/O, no clock."""
