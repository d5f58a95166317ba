"""The operators' side: metrics, health and the list of connections, over HTTP.

`tickstorm.web.site.site` makes the whole of it. Nothing here changes the server.
"""
