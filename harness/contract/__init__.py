"""The contract that a method has to keep, looked at on two small networks, without data."""
