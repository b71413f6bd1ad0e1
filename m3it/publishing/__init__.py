"""From a repository to a release on the Hub, and all checks of either."""
