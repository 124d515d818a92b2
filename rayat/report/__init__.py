"""The report: one HTML file that needs no server, with what a comparison rests on."""
