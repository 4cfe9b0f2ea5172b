//! STPM, the baseline: student-teacher feature pyramid matching (Wang et al., BMVC 2021).

use super::{Entry, destseg};
use crate::config::Method;

/// What the programs know of it.
pub const ENTRY: Entry = Entry {
    method: Method::Stpm,
    explanation: "A student network learns to give the features of a frozen teacher network for good images; where they \
                  disagree, something is new.",
    detector: destseg::detector,
};
