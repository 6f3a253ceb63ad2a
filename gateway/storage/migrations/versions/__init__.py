"""One file a version of the schema; released files never change."""
