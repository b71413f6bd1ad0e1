"""The repositories of 2023 (M3IT, M3IT-80): what is known of their raw rows, and the builders that map them."""
