"""From outcomes to tables: means, intervals, gains and ranks, as text, Markdown, CSV, LaTeX and a page."""
