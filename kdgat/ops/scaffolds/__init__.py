"""What `kdgat new` makes: files from templates, and rows in the tables that name them.

A draft holds every new file and every edit; it is written as a whole or not at all. Places in
Python are found by its own parser (`ast`), places in `mkdocs.yml` by YAML's.
"""
