"""What a figure shows, as numbers: records -> panels of series. No plotting library here; `plot` and `page` draw."""
