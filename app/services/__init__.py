"""What the product does with tasks, over the ports alone."""
