//! Image folders in the layout of `MVTec` AD:
//!
//! ```text
//! CATEGORY/train/good/*.png
//! CATEGORY/test/good/*.png
//! CATEGORY/test/DEFECT/*.png
//! CATEGORY/ground_truth/DEFECT/NAME_mask.png
//! ```

mod files;
mod mvtec;

pub use files::{LoadedImages, image_files, load_good};
pub use mvtec::{Category, GOOD, TestImage, TestItem, categories};

#[cfg(test)]
mod tests;
