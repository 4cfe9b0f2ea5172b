//! The page's engine, a module Web Worker.

fn main() {
    destseg::page::worker::run();
}
