"""The daily report by e-mail: what stands in it, how it is sent, and to whom."""
