"""Self-contained HTML pages: one base, charts as inline SVG, pictures as data URIs."""
