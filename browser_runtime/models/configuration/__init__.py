"""Plans of a model's own configuration files: done as Hugging Face does it, or refused by name.

Each module reads some files with an allow-list of keys and values. A plan is made of plain values; page and
simulation obey it and read no configuration themselves.
"""
