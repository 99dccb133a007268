"""Adapters on the network's layers: LoRA and its relatives, read from files, merged or beside the weights.

Nothing is here yet; this is where it goes.
"""
