"""ContentAgent: long-form text, with numbered citations of pages that the search really returned."""
