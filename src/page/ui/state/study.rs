//! The look inside the image shown: what is wanted of the engine, and what it gave.

use std::rc::Rc;

use super::{Bulk, ItemId, Model, State};
use crate::page::protocol::{Damage, StudyInfo};
use crate::page::ui::study::Study;

/// Everything about the look inside.
#[derive(Debug, Clone, Default)]
pub struct StudyState {
    /// Features of the image as it is.
    pub plain: Option<(ItemId, Rc<Study>)>,
    /// Features of the damaged image.
    pub damaged: Option<(ItemId, Rc<Study>)>,
    /// Why there are none of this image.
    pub error: Option<(ItemId, Rc<str>)>,
    /// What the visitor painted: RGBA pixels of the input's size.
    painted: Rc<Vec<u8>>,
    /// What is to be done to the image.
    wanted: Option<Damage>,
    /// The job in the engine.
    working: Option<(u32, ItemId)>,
}

/// Something the visitor does about the look inside.
#[derive(Debug)]
pub enum StudyAction {
    /// Takes a synthetic anomaly.
    Synthetic(u64),
    /// Takes what was painted.
    Painted(Rc<Vec<u8>>),
    /// Takes the damage away.
    Clear,
}

/// Features to ask the engine for.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyJob {
    /// At this image.
    pub item: ItemId,
    /// Damaged like this.
    pub damage: Damage,
    /// What was painted, if it is that.
    pub painted: Rc<Vec<u8>>,
}

impl StudyState {
    /// The features of this image as it is.
    pub fn of(&self, item: ItemId) -> Option<&Rc<Study>> {
        self.plain.as_ref().filter(|own| own.0 == item).map(|own| &own.1)
    }

    /// The features of this image when damaged.
    pub fn damaged_of(&self, item: ItemId) -> Option<&Rc<Study>> {
        self.damaged
            .as_ref()
            .filter(|own| own.0 == item)
            .map(|own| &own.1)
    }

    /// Whether the engine works on it.
    pub fn is_working(&self) -> bool {
        self.working.is_some() || self.wanted.is_some()
    }

    /// The model or the engine is another one.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(super) fn begin(&mut self, job: &StudyJob, number: u32) {
        self.working = Some((number, job.item));
        self.wanted = None;
    }

    pub(super) fn fail(&mut self, job: u32, message: &str) {
        if let Some((_, item)) = self.working.take_if(|own| own.0 == job) {
            self.error = Some((item, message.into()));
        }
    }
}

impl State {
    pub(super) fn next_study(&self) -> Option<StudyJob> {
        let own = &self.study;
        let item = self.current()?;
        let has_student = self.model.as_ref().is_some_and(Model::has_student);
        if !self.view.inside || own.working.is_some() || !has_student {
            return None;
        }
        item.info()?;
        let failed = own.error.as_ref().is_some_and(|error| error.0 == item.id);
        let damage = match own.wanted {
            Some(damage) => damage,
            None if own.of(item.id).is_none() && !failed => Damage::None,
            None => return None,
        };
        Some(StudyJob {
            item: item.id,
            damage,
            painted: own.painted.clone(),
        })
    }

    pub(super) fn study(&mut self, action: StudyAction) {
        let own = &mut self.study;
        match action {
            StudyAction::Synthetic(seed) => own.wanted = Some(Damage::Synthetic(seed)),
            StudyAction::Painted(painted) => {
                own.painted = painted;
                own.wanted = Some(Damage::Painted);
            }
            StudyAction::Clear => {
                own.damaged = None;
                own.wanted = None;
            }
        }
        own.error = None;
    }

    pub(super) fn on_studied(&mut self, job: u32, info: StudyInfo, bulk: Option<Bulk>) {
        let own = &mut self.study;
        let Some((_, item)) = own.working.take_if(|own| own.0 == job) else {
            return;
        };
        let damage = info.damage;
        let bytes = match bulk {
            Some(Bulk::Packed(bytes)) => bytes,
            _ => Vec::new(),
        };
        match (Study::new(info, &bytes), damage) {
            (Some(study), Damage::None) => own.plain = Some((item, study.into())),
            (Some(study), _) => own.damaged = Some((item, study.into())),
            (None, _) => {
                let message = "The engine's answer was incomplete: open the image again.";
                own.error = Some((item, message.into()));
            }
        }
    }
}
