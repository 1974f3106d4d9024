"""Images to features: sources, partitions, preprocessing, and the frozen backbone's output."""
