"""The report's figures: each a plain value taken from boards, and a function that draws it. matplotlib lives here."""
