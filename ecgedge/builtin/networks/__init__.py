"""The built-in networks, plain torch modules. Imported only by a part's ``build``: torch is heavy."""
