"""What AWS is given: the infrastructure, created in a stand-in for it."""
