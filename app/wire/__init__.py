"""HTTP as it arrives: heads, bodies and their bounds, time-outs, and how many connections are kept."""
