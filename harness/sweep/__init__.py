"""What `bench run` does between a person's flags and the records: see story.py."""
