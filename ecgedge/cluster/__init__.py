"""Work that is handed out: to processes of this machine, or to a cluster; files that travel with it."""
