# Varnish in front of two Headwater servers that have the same streams. Tried with 7.1.
vcl 4.1;

import directors;
import std;

probe ready {
    .url = "/readyz";
    .interval = 1s;
    .timeout = 1s;
    .window = 3;
    .threshold = 2;
    .initial = 3;
}

backend main {
    .host = "origin-a.example.com";
    .port = "3333";
    .connect_timeout = 1s;
    # A blocking reload is held for three segments at most.
    .first_byte_timeout = 20s;
    .between_bytes_timeout = 5s;
    .probe = ready;
}

backend backup {
    .host = "origin-b.example.com";
    .port = "3333";
    .connect_timeout = 1s;
    .first_byte_timeout = 20s;
    .between_bytes_timeout = 5s;
    .probe = ready;
}

sub vcl_init {
    new origins = directors.fallback();
    origins.add_backend(main);
    origins.add_backend(backup);
}

sub vcl_recv {
    set req.backend_hint = origins.backend();
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # One thing has one name.
    set req.url = std.querysort(req.url);
    unset req.http.Cookie;
    return (hash);
}

sub vcl_backend_fetch {
    # The main server did not answer, or has nothing.
    if (bereq.retries == 1) {
        set bereq.backend = backup;
    }
}

sub vcl_backend_response {
    # Nothing is shown beyond its time: an old playlist makes players wait for what is over.
    set beresp.grace = 0s;
    set beresp.keep = 60s;
    if (beresp.status == 404 || beresp.status >= 500) {
        if (bereq.retries == 0) {
            return (retry);
        }
        # All who wait get this one; the next to ask tries again. (What is not cacheable would have each ask for himself.)
        set beresp.ttl = 1s;
        return (deliver);
    }
}

sub vcl_backend_error {
    if (bereq.retries == 0) {
        return (retry);
    }
}

sub vcl_deliver {
    set resp.http.X-Cache = req.http.X-Cache;
    unset resp.http.Via;
    unset resp.http.X-Varnish;
}

sub vcl_hit {
    set req.http.X-Cache = "HIT";
}

sub vcl_miss {
    set req.http.X-Cache = "MISS";
}

sub vcl_pass {
    set req.http.X-Cache = "PASS";
}
