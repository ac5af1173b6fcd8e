"""Parts of the API without servers."""
