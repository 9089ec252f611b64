"""Images, labels and networks: what is read, built and scored."""
