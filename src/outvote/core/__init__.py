"""What every protocol is made of. Pure: no clock, socket, thread, file, task or global random."""
