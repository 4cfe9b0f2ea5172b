//! The page's engine without GPU and training, a module Web Worker: what a visitor waits for first.

fn main() {
    destseg::page::worker::run();
}
