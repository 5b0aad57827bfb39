"""Changes of prompts with a known effect, and the gate's verdict on each: `make planted`."""
