"""The system under test, its servers, its doubles, and the conditions that tests wait for."""
