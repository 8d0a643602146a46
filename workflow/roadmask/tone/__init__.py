"""How bright scenes are, and which of them go together."""
