"""Who may do what: identities, roles from YAML and the decisions made from them.

Imports nothing else of this project.
"""
