//! The command `plugbus`.

fn main() {}
