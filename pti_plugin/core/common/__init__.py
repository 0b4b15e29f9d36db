"""What every part of the method needs: errors, progress, the record, profiles, ranks, tables, staged outputs."""
