//! The page's GPU engine, a module Web Worker.

fn main() {
    destseg::page::worker::run();
}
