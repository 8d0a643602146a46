"""How much like road ground looks, told by networks that a city's own labels teach."""
