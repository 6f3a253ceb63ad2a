"""The operations by what they are about, one file each: their bodies, their handlers, their declarations."""
