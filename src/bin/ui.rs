//! The page.

fn main() {
    destseg::page::ui::run();
}
