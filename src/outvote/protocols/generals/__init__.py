"""The Byzantine generals (Lamport, Shostak and Pease 1982); see README.md."""
