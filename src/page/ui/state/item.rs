//! An image of the queue and its result.

use std::rc::Rc;

use super::ItemId;
use crate::page::protocol::{Example, PredictionInfo};
use crate::page::shared::content::Content;
use destseg_engine::data::brush::Point;
use destseg_engine::data::map::AnomalyMap;
use destseg_engine::verdict::memory::Remembered;

/// An image of the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its identity.
    pub id: ItemId,
    /// File name.
    pub name: Rc<str>,
    /// The bundled example it is, if it is one.
    pub example: Option<Rc<Example>>,
    /// The file's content; an example's comes once it is fetched.
    pub content: Option<Content>,
    /// Status.
    pub status: Status,
    /// A small picture, a JPEG file; empty until the image was analysed.
    pub thumbnail: Rc<Vec<u8>>,
    /// How often the engine went down while it worked on this image.
    pub crashes: u32,
    /// What tells its file from others, once it was analysed.
    pub fingerprint: Option<Rc<str>>,
    /// Where the visitor has painted over a defect.
    pub painted: Rc<[Point]>,
    /// What was painted is to be remembered, as soon as the image is analysed again.
    pub is_to_remember: bool,
}

/// Status of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// In the queue.
    Waiting,
    /// In the engine.
    Working,
    /// Analysed.
    Done(Rc<PredictionInfo>),
    /// Refused, with the sentence that says why.
    Failed(Rc<str>),
}

impl Status {
    /// One word, for style sheets and tests.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
        }
    }
}

impl Item {
    /// An image that is still to be analysed.
    pub fn new(id: ItemId, name: Rc<str>, content: Option<Content>) -> Self {
        Self {
            id,
            name,
            content,
            example: None,
            status: Status::Waiting,
            crashes: 0,
            thumbnail: Rc::default(),
            painted: Rc::new([]),
            is_to_remember: false,
            fingerprint: None,
        }
    }

    /// The numbers of the result, once there is one.
    pub fn info(&self) -> Option<&Rc<PredictionInfo>> {
        match &self.status {
            Status::Done(info) => Some(info),
            _ => None,
        }
    }
}

/// A result with its maps.
#[derive(Debug, PartialEq)]
pub struct Prediction {
    /// Sizes, scores and times.
    pub info: Rc<PredictionInfo>,
    /// What a model would remember of the image if it is good.
    pub good_places: Vec<Remembered>,
    /// What a model would remember of the defect that was painted over.
    pub painted_places: Vec<Remembered>,
    /// The segmentation network's map, if the model has one.
    pub segmentation: Option<AnomalyMap>,
    /// The product of teacher-student distances.
    pub dest: AnomalyMap,
    /// The distances themselves, fine to coarse.
    pub levels: [AnomalyMap; 3],
}

impl Prediction {
    /// A result from the engine's numbers and the maps' values; `None` if they do not fit together.
    pub fn new(mut info: PredictionInfo, mut values: Vec<f32>) -> Option<Self> {
        // from the end: the first map may be absent
        let mut last = |width: usize, height: usize| {
            let start = values.len().checked_sub(width.checked_mul(height)?)?;
            AnomalyMap::new(width, height, values.split_off(start))
        };
        let [fine, middle, coarse] = info.levels;
        let coarse = last(coarse[0], coarse[1])?;
        let middle = last(middle[0], middle[1])?;
        let fine = last(fine[0], fine[1])?;
        let dest = last(info.map_width, info.map_height)?;
        Some(Self {
            segmentation: if values.is_empty() {
                None
            } else {
                Some(AnomalyMap::new(info.map_width, info.map_height, values)?)
            },
            dest,
            levels: [fine, middle, coarse],
            good_places: std::mem::take(&mut info.good_places),
            painted_places: std::mem::take(&mut info.painted_places),
            info: info.into(),
        })
    }

    /// One of the two maps; always the DeST map where there is no other.
    pub fn map(&self, kind: MapKind) -> &AnomalyMap {
        match (kind, &self.segmentation) {
            (MapKind::Segmentation, Some(map)) => map,
            _ => &self.dest,
        }
    }
}

/// Which map is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapKind {
    /// The segmentation network's map, which the score comes from.
    Segmentation,
    /// The product of teacher-student distances.
    Dest,
}

impl MapKind {
    /// Both, in the order of the menu.
    pub const ALL: [Self; 2] = [Self::Segmentation, Self::Dest];

    /// The menu's value.
    pub fn id(self) -> &'static str {
        match self {
            Self::Segmentation => "segmentation",
            Self::Dest => "dest",
        }
    }

    /// The menu's text.
    pub fn label(self) -> &'static str {
        match self {
            Self::Segmentation => "Segmentation",
            Self::Dest => "DeST (distances)",
        }
    }
}
