"""HTTP in front of the services: what may be asked, by whom, and how answers and errors look."""
