"""Bytes in and out over HTTP, within bounds and never into private networks unasked.

`fetch.fetch`, `send.put` and `send.post_json` take URLs from strangers, each under a `policy.Policy`; `blocking.run`
calls them from synchronous code. Beyond its bounds a policy always means: only http and
https, no credentials in URLs, the host judged after normalisation in whatever spelling; a name looked up once per
connection, refused if one of its addresses is, and connected to at a judged address; redirects followed by fetches
only, each judged again, never from https to http; verified TLS; no proxies, cookies or credentials from the
environment; bodies as they are, never decompressed; no query or credentials in errors.

Not seen from here: that a public address is this machine's own, and what a public server passes on to.
"""
