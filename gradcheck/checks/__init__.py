"""One check a file; its docstring is the text of `gradcheck explain`."""
