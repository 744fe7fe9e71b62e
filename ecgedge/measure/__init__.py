"""What is measured of a session, and of the machine: times, memory, energy, peaks, steadiness."""
