"""From which probability on answers may be given alone, by answers to documents left out."""
