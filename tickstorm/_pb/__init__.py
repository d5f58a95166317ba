"""Code generated from protos/tickstorm.proto by `make proto`."""
