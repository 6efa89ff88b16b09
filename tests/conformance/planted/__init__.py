"""Bugs for the tests to find: each turns off one rule, for the length of one test."""
