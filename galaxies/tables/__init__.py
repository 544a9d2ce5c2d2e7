"""Tables that people bring, of any kind, as rows of text: what is read of them, and what their cells mean."""
