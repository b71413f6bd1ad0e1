"""Where rows come from: a folder, a URL or a Hub repository of any layout and age."""
