//! What the buffer beside an event holds: both halves read it here, so that an event with a new kind of bulk
//! data cannot be mistaken for another.

use super::{CompareEvent, EvaluateEvent, Event, TrainEvent};

/// What the buffer beside an event holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// There is no buffer.
    None,
    /// Maps: `f32`, little endian, one after the other.
    Maps,
    /// Pictures: RGBA pixels, or a JPEG file where the event says so.
    Pictures,
    /// Several things behind each other, as the event's numbers say.
    Packed,
    /// A model file.
    File,
}

impl Event {
    /// What comes with it.
    pub fn payload(&self) -> Payload {
        match self {
            Self::Ready { .. }
            | Self::DeviceReady(_)
            | Self::Progress { .. }
            | Self::ModelReady { .. }
            | Self::TeacherReady { .. }
            | Self::Helpers { .. }
            | Self::Failed { .. }
            | Self::Fatal { .. } => Payload::None,
            Self::Camera { .. } | Self::Ablated { .. } => Payload::Maps,
            Self::Inspected { .. } | Self::Studied { .. } => Payload::Packed,
            Self::Train { event } => event.payload(),
            Self::Compare { event } => event.payload(),
            Self::Evaluate { event } => event.payload(),
        }
    }
}

impl TrainEvent {
    /// What comes with it.
    pub fn payload(&self) -> Payload {
        match self {
            Self::Added { .. }
            | Self::Refused { .. }
            | Self::PreviewFailed { .. }
            | Self::Preparing { .. }
            | Self::Started(_)
            | Self::Stepped(_)
            | Self::Saved { .. }
            | Self::NotSaved { .. }
            | Self::Calibrating
            | Self::Failed { .. }
            | Self::Discarded => Payload::None,
            Self::Previewed { .. } | Self::TexturesShown { .. } | Self::HeldOutPredicted { .. } => {
                Payload::Pictures
            }
            Self::Trained(_) => Payload::File,
        }
    }
}

impl CompareEvent {
    /// What comes with it.
    pub fn payload(&self) -> Payload {
        match self {
            Self::Progress { .. } | Self::Failed { .. } => Payload::None,
            Self::Ready { .. } => Payload::File,
            Self::Compared { .. } => Payload::Maps,
        }
    }
}

impl EvaluateEvent {
    /// What comes with it.
    pub fn payload(&self) -> Payload {
        match self {
            Self::Begun { .. } | Self::Finished { .. } | Self::Failed { .. } => Payload::None,
            Self::Predicted { .. } => Payload::Packed,
            Self::ImageMeasured { .. } => Payload::Pictures,
        }
    }
}
