"""How a revision comes onto a server: the workflows, what they pack, and the scripts there."""
