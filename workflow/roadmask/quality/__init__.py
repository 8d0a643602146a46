"""What is known of the quality of each tile's label."""
