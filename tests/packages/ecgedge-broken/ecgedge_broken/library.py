"""Its library is half installed: the import fails, as that of a native module without its shared object."""

raise ImportError("libbroken.so.7: cannot open shared object file: No such file or directory")
