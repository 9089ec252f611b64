"""Distillation: losses, a method's terms on two networks, and golden vectors that hold both to what was released."""
