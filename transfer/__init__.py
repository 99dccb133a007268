"""Bytes in and out over HTTP, within bounds and never into private networks unless allowed.

`fetch.fetch`, `send.put` and `send.post_json` take URLs from strangers, each under a `policy.Policy`; `blocking.run`
calls them from synchronous code. Every policy also implies: only http and https; no credentials in URLs; the host
checked after normalisation, however it is written; a name resolved once per connection, rejected if one of its
addresses is forbidden, and connected to at a checked address; redirects followed by fetches only, each checked again,
never from https to http; verified TLS; no proxies, cookies or credentials from the environment; bodies as sent, never
decompressed; no query or credentials in errors.

Not detectable here: a public address that belongs to this machine, and what a public server forwards to.
"""
