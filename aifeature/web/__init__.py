"""The pages for people: sign in, and what there is to use."""
