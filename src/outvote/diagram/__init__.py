"""Space-time diagrams of chronicles: as one SVG, or as a page with filters. Pure: a chronicle in, a text out."""
