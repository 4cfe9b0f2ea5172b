//! The messages about a look inside: features of teacher and student, and how they change with a defect.

use serde::{Deserialize, Serialize};

/// What is done to the image before student and teacher see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// Nothing.
    None,
    /// A synthetic anomaly, another one for every number.
    Synthetic(u64),
    /// What the visitor painted: RGBA pixels of the input's size, behind the image file in the buffer.
    Painted,
}

/// Numbers of a look inside. The buffer holds RGBA pictures of `side * side` (the image as the network sees
/// it, and damaged) and then `f32` features, little endian, level by level from fine to coarse: those of the
/// teacher of the clean image, of the teacher of the damaged image and of the student of the damaged image,
/// channel by channel, row by row. Every pixel's features have length 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StudyInfo {
    /// What was done.
    pub damage: Damage,
    /// Side of the input.
    pub side: usize,
    /// Channels, columns and rows of the three levels.
    pub levels: [[usize; 3]; 3],
    /// Whether the input shows the whole image, as all of the maps do.
    pub whole: bool,
    /// Milliseconds it took.
    pub ms: f64,
}

impl StudyInfo {
    /// Bytes of the buffer.
    pub fn bytes(&self) -> usize {
        let features: usize = self
            .levels
            .iter()
            .map(|[channels, width, height]| channels * width * height)
            .sum();
        2 * 4 * self.side * self.side + 3 * size_of::<f32>() * features
    }
}
