"""Flower's SuperLink as a process of ours: who reaches it, what it hands out, who came."""
