//! The built-in textures by name; `synthesis` paints them.

use serde::{Deserialize, Serialize};

/// A kind of built-in texture that anomalies are filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Texture {
    /// Coarse to fine noise without structure, often stretched.
    Grain,
    /// Soft clouds of several sizes.
    Clouds,
    /// Parallel bands, more or less wavy.
    Stripes,
    /// A checkerboard or bricks.
    Checks,
    /// Threads that go over and under each other.
    Weave,
    /// Turbulent veins.
    Marble,
    /// Dots of varying size.
    Dots,
    /// Cells around scattered points, or the cracks between them.
    Cells,
    /// A gradient along a line or around a point.
    Gradient,
    /// Fine scratches in two directions.
    Scratches,
    /// Rings around a point, as in wood.
    Rings,
    /// Blotches with hard edges, as of paint or rust.
    Blotches,
}

impl Texture {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Grain,
        Self::Clouds,
        Self::Stripes,
        Self::Checks,
        Self::Weave,
        Self::Marble,
        Self::Dots,
        Self::Cells,
        Self::Gradient,
        Self::Scratches,
        Self::Rings,
        Self::Blotches,
    ];

    /// The kind's name, as in flags and messages.
    pub fn id(self) -> &'static str {
        match self {
            Self::Grain => "grain",
            Self::Clouds => "clouds",
            Self::Stripes => "stripes",
            Self::Checks => "checks",
            Self::Weave => "weave",
            Self::Marble => "marble",
            Self::Dots => "dots",
            Self::Cells => "cells",
            Self::Gradient => "gradient",
            Self::Scratches => "scratches",
            Self::Rings => "rings",
            Self::Blotches => "blotches",
        }
    }
}
