"""How work is done: runs that go on, folders of whole files, one client of model servers, all that we cache."""
