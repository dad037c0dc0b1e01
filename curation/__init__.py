"""Recordings in, a training list out: tables and audio, no torch."""
