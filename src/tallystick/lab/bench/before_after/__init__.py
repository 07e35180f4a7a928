"""Two checkouts of this project side by side: what a payment costs in each, in turns on one machine."""
