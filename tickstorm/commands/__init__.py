"""The commands of `tickstorm`, one module each, and what they show.

A command's module imports what it needs when the command runs, so that help comes at once.
"""
