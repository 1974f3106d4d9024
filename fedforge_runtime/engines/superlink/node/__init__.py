"""The site's end of a SuperLink: its node, the node's process, and what it fetches and sends."""
