//! What about an image is not as the model knows it.

use serde::{Deserialize, Serialize};

/// How an unfamiliar image differs from the good images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Another part, or one in a light and pose that hide which it is.
    Part,
    /// The part is turned by a quarter.
    Turned,
    /// The part is seen from nearer.
    Closer,
    /// The part is seen from further away.
    Farther,
    /// The part lies elsewhere in the image, or is cut off.
    Framing,
    /// The image is brighter.
    Brighter,
    /// The image is darker.
    Darker,
    /// The light has another colour.
    Tint,
}

impl Difference {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Part,
        Self::Turned,
        Self::Closer,
        Self::Farther,
        Self::Framing,
        Self::Brighter,
        Self::Darker,
        Self::Tint,
    ];

    /// What differs from the photos that the model of this name was trained on and what to do, the middle of a sentence.
    pub fn note(self, model: &str) -> String {
        let (what, verb) = match self {
            Self::Part => {
                return format!(
                    "this does not look like the part that {model} knows, so its score says nothing: train a model on this \
                     part"
                );
            }
            Self::Turned => ("the part", "is turned another way"),
            Self::Closer => ("the part", "is closer"),
            Self::Farther => ("the part", "is further away"),
            Self::Framing => ("the part", "is framed differently"),
            Self::Brighter => ("this photo", "is brighter"),
            Self::Darker => ("this photo", "is darker"),
            Self::Tint => ("this photo", "has light of another colour"),
        };
        format!(
            "{what} {verb} than in the photos that {model} was trained on, so its score may be wrong: take the photo as \
             those were taken, or train with photos like this one"
        )
    }
}
