"""Where images come from: published archives, a site's own, phantom images, and other splits of them."""
