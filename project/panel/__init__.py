"""The control panel of the local stack: break things on purpose and watch what happens.

It exists only with the sandbox provider, which the settings refuse outside of the local stack.
"""
