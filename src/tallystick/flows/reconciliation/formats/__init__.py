"""Formats of settlement files and bank statements, one file each: from bytes to the normal form."""
