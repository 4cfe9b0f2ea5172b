//! Image folders in the layout of `MVTec` AD:
//!
//! ```text
//! CATEGORY/train/good/*.png
//! CATEGORY/test/good/*.png
//! CATEGORY/test/DEFECT/*.png
//! CATEGORY/ground_truth/DEFECT/NAME_mask.png
//! ```

mod files;
mod labelled;
mod mvtec;

pub use files::{LoadedImages, files_below, image_files, load_good, some_image_files};
pub use labelled::TestSet;
pub use mvtec::{Category, GOOD, categories};

#[cfg(test)]
mod tests;
