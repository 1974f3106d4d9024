"""What a frozen backbone makes of the images, computed once: class tokens, and tokens before the last block."""
