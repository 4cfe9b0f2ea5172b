//! The page's CPU engine, a module Web Worker: small, so that a visitor soon sees a first result.

fn main() {
    destseg::page::worker::run();
}
