"""YAML -> network, data, plan of checks."""
