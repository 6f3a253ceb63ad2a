"""How messages leave: as files, or by SMTP. The only importers of mail drivers."""
