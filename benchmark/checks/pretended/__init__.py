"""A pretended GPU: tensors on the CPU that count as on a GPU. It shows what would go wrong on a real one."""
