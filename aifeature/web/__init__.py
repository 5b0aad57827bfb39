"""The pages for users: sign-in, features with their forms, jobs, history and account."""
