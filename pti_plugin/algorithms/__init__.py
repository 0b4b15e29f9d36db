"""The Processing tools, one class a file; each wraps one function of the core."""
