"""HoneyBadgerBFT (Miller, Xia, Croman, Shi and Song, CCS 2016)."""
