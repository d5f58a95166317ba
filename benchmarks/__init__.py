"""Measurements that anyone can repeat: `make bench`, or one row alone by its module's name."""
