"""Pages for people, made from the definitions."""
