//! The page's engine, a module Web Worker.

fn main() {
    destseg::worker::run();
}
