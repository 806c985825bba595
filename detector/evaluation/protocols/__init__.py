"""Evaluation protocols: one module a protocol, with the rule by which it matches and what pages say of it."""
