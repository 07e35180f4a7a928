"""``make test-failover``: the first of two servers is killed under load, and nothing that was answered is lost."""
