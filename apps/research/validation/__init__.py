"""Is a number to be believed? Look-ahead, warm-up, and parameters judged on what came after."""
