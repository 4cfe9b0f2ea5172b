//! The page.

fn main() {
    destseg::ui::run();
}
