"""The online decision: may the model answer, who answers instead, and what is recorded. Knows no transport."""
