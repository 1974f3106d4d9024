"""FedForge's apps, where Flower looks for them."""
