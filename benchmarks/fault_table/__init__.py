"""What `faults.py` is made of: the faults it tries, how rows are counted, and gateways with a wrong certificate."""
