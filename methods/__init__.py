"""The shipped methods: a descriptor each, and a Python file beside it where a method has mathematics of its own."""
