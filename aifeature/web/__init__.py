"""The pages for people: sign in, use a feature, watch the answer come, find it again."""
