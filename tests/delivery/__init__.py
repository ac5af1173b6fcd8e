"""Tests of delivery: the workflows, the revisions that they pack, and the scripts on the server."""
