"""The built-in plugins, one small file each, found through the registry like anybody's."""
