//! Images, labelled folders of them, and maps over them.

pub mod annotations;
pub mod brush;
pub mod contour;
pub mod dataset;
pub mod facts;
pub mod image;
pub mod labelled;
pub mod map;
pub mod mask;
pub(crate) mod moments;
pub mod paths;
pub mod placement;
pub mod preprocess;
pub mod regions;
