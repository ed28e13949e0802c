"""What the runtime does when asked, a file for each verb or group of them."""
