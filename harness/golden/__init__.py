"""Golden vectors: the released code's numbers, and the shipped methods held against them."""
