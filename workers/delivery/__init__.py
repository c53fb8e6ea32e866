"""Taking messages from Redis so that none is lost: consumer, transport, leases, dead letters."""
