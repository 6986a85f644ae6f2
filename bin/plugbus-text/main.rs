//! The plugin `text`.

fn main() {}
